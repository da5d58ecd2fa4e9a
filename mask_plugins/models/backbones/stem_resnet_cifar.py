# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""mmpretrain's residual network for CIFAR with another stem."""

from mmcv.cnn import build_conv_layer
from mmpretrain.models.backbones import ResNet_CIFAR

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_int


@MODELS.register_module()
class StemResNetCIFAR(ResNet_CIFAR):
    """``ResNet_CIFAR`` whose first convolution has a kernel of your choice.

    The stem has stride 1 and keeps the size of the image; there is no
    pooling after it. With ``stem_kernel=3`` it is ``ResNet_CIFAR``, bit for
    bit. The names of all weights are the stock ones.

    Args:
        depth (int): Of the network: 18, 34, 50, 101 or 152.
        stem_kernel (int): Height and width of the stem's kernel, an odd
            number. Defaults to 5.
        **kwargs: As of ``ResNet_CIFAR``.

    Raises:
        TypeError: If ``stem_kernel`` is not an int.
        ValueError: If ``stem_kernel`` is below 1 or even.

    Examples:
        >>> StemResNetCIFAR(18, stem_kernel=7).conv1.kernel_size
        (7, 7)
    """

    def __init__(self, depth: int, stem_kernel: int = 5, **kwargs) -> None:
        if check_int('stem_kernel', stem_kernel, 1) % 2 == 0:
            raise ValueError(f'stem_kernel must be odd, got {stem_kernel!r}')
        super().__init__(depth, **kwargs)
        if stem_kernel != 3:
            channels = self.conv1.in_channels, self.conv1.out_channels
            size = dict(kernel_size=stem_kernel, padding=stem_kernel // 2)
            self.conv1 = build_conv_layer(
                self.conv_cfg, *channels, bias=False, **size
            )
