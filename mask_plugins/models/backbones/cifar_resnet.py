# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The small residual networks for 32 x 32 images."""

from functools import partial
from typing import Optional, Sequence, Tuple, Union

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch import Tensor, nn

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_choice, check_int

BN = dict(type='BN')
XAVIER = dict(type='Xavier', layer='Conv2d', distribution='normal')


class CIFARBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels of the output.
        stride (int): Of the first convolution. Defaults to 1.
        conv_cfg (dict, optional): Of the 3 x 3 convolutions. Defaults to
            None.
        norm_cfg (dict, optional): Of the norms. Defaults to None, BN.
        masked_shortcut (bool): Whether ``conv_cfg`` holds for the shortcut
            too. Defaults to False.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        conv_cfg: Optional[dict] = None,
        norm_cfg: Optional[dict] = None,
        masked_shortcut: bool = False,
    ) -> None:
        super().__init__()
        conv3x3 = partial(
            build_conv_layer, conv_cfg, kernel_size=3, padding=1, bias=False
        )
        self.conv1 = conv3x3(in_channels, channels, stride=stride)
        self.bn1 = build_norm_layer(norm_cfg or BN, channels)[1]
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = build_norm_layer(norm_cfg or BN, channels)[1]
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            cfg = conv_cfg if masked_shortcut else None
            self.shortcut = build_conv_layer(
                cfg, in_channels, channels, 1, stride, bias=False
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out)) + self.shortcut(x)
        return self.relu(out)


@MODELS.register_module()
class CIFARResNet(BaseBackbone):
    """ResNet-20, -32, -44, -56 and -110 for CIFAR.

    He et al., arXiv:1512.03385, section 4.2: a 3 x 3 convolution and three
    stages of n blocks with 16, 32 and 64 channels; the depth is 6 n + 2. The
    shortcut into a stage is a 1 x 1 convolution without norm, as Continuous
    Sparsification has it (arXiv:1912.04427; its "ResNet-18" is depth 20).
    mmpretrain's ``ResNet_CIFAR`` is the wide ImageNet network with another
    stem, which is something else.

    Args:
        depth (int): 6 n + 2. Defaults to 20.
        base_channels (int): Channels of the first stage. Defaults to 16.
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): Stages whose output is returned, of 0, 1,
            2. Defaults to (2,).
        conv_cfg (dict, optional): Of the 3 x 3 convolutions, such as
            ``dict(type='mask_plugins.SoftMaskConv2d')``. Defaults to None.
        norm_cfg (dict, optional): Defaults to None, BN.
        masked_shortcut (bool): Whether ``conv_cfg`` holds for the 1 x 1
            shortcuts too. Defaults to False.
        init_cfg (dict | list, optional): Defaults to None, Xavier normal.

    Raises:
        TypeError: If ``depth`` is not an int.
        ValueError: If ``depth`` is not 6 n + 2, or an index is not a stage.

    Examples:
        >>> import torch
        >>> CIFARResNet(depth=8)(torch.rand(1, 3, 32, 32))[0].shape
        torch.Size([1, 64, 8, 8])
    """

    def __init__(
        self,
        depth: int = 20,
        base_channels: int = 16,
        in_channels: int = 3,
        out_indices: Sequence[int] = (2,),
        conv_cfg: Optional[dict] = None,
        norm_cfg: Optional[dict] = None,
        masked_shortcut: bool = False,
        init_cfg: Union[dict, list, None] = None,
    ) -> None:
        super().__init__(init_cfg or XAVIER)
        self.depth = check_int('depth', depth, low=8)
        if (depth - 2) % 6:
            raise ValueError(
                f'depth must be 6 n + 2 (20, 32, 44, 56, 110), got {depth!r}'
            )
        self.out_indices = tuple(
            check_choice('out_indices', i, (0, 1, 2)) for i in out_indices
        )
        self.feat_dim = base_channels * 2 ** max(out_indices)
        self.conv1 = build_conv_layer(
            conv_cfg, in_channels, base_channels, 3, padding=1, bias=False
        )
        self.bn1 = build_norm_layer(norm_cfg or BN, base_channels)[1]
        self.relu = nn.ReLU(inplace=True)
        width = base_channels
        stages = []
        for stage in range(3):
            channels = base_channels * 2**stage
            blocks = nn.Sequential()
            for block in range((depth - 2) // 6):
                stride = 2 if stage and not block else 1
                blocks.append(
                    CIFARBlock(
                        width,
                        channels,
                        stride,
                        conv_cfg,
                        norm_cfg,
                        masked_shortcut,
                    )
                )
                width = channels
            stages.append(blocks)
        self.layer1, self.layer2, self.layer3 = stages

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """(B, 3, H, W) -> the stages' (B, C, H / 2^i, W / 2^i)."""
        x = self.relu(self.bn1(self.conv1(x)))
        outs = []
        for index, layer in enumerate((self.layer1, self.layer2, self.layer3)):
            x = layer(x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)
