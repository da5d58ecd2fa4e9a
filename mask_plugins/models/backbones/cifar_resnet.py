# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The small residual networks for 32 x 32 images."""

from functools import partial
from typing import Optional, Sequence, Tuple, Union

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from mmpretrain.models.backbones.resnet import BasicBlock
from torch import Tensor, nn

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_choice, check_int

BN = dict(type='BN')
XAVIER = dict(type='Xavier', layer='Conv2d', distribution='normal')


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
        block = partial(BasicBlock, conv_cfg=conv_cfg, norm_cfg=norm_cfg or BN)
        for stage in range(3):
            channels, shortcut = base_channels * 2**stage, None
            if stage:
                shortcut = nn.Conv2d(width, channels, 1, 2, bias=False)
            first = block(
                width, channels, stride=min(stage + 1, 2), downsample=shortcut
            )
            rest = [block(channels, channels) for _ in range(depth // 6 - 1)]
            blocks, width = nn.Sequential(first, *rest), channels
            self.add_module(f'layer{stage + 1}', blocks)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """(B, 3, H, W) -> the stages' (B, C, H / 2^i, W / 2^i)."""
        x = self.relu(self.bn1(self.conv1(x)))
        outs = []
        for index, layer in enumerate((self.layer1, self.layer2, self.layer3)):
            x = layer(x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)
