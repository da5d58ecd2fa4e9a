# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Weights in the order of the CPU's convolution, put there once.

oneDNN reorders the weight of a convolution at every call. For the whole map
that is nothing; for a few tiles of a wide layer it takes longer than the
convolution itself (512 channels: 9 MB). The operators are those that
torch.compile emits; where a build lacks them, the plain convolution serves.
"""

from typing import Optional, Sequence

import torch
from torch import Tensor, nn


def pack_weight(conv: nn.Conv2d, weight: Tensor) -> Optional[Tensor]:
    """The weight in the order of oneDNN, or None where it is not of use.

    Args:
        conv (nn.Conv2d): Says stride, dilation and groups.
        weight (Tensor): :math:`(C_{out}, C_{in} / groups, h, w)`.
    """
    kind = (weight.device.type, weight.dtype, conv.groups)
    if kind != ('cpu', torch.float32, 1):
        return None
    # Without AVX-512 the order depends on the size of the map, and another
    # one than was packed for takes up to ten times as long.
    if torch.backends.cpu.get_cpu_capability() != 'AVX512':
        return None
    size = [8, conv.in_channels, *(8 + side for side in weight.shape[2:])]
    try:
        return torch.ops.mkldnn._reorder_convolution_weight(
            weight, [0, 0], conv.stride, conv.dilation, conv.groups, size
        )
    except (AttributeError, RuntimeError):
        return None


def packed_conv2d(
    x: Tensor,
    conv: nn.Conv2d,
    packed: Tensor,
    bias: Optional[Tensor],
    padding: Sequence[int] = (0, 0),
) -> Tensor:
    """A convolution with a packed weight.

    Its own ReLU is not used: it turns NaN into 0.

    Args:
        x (Tensor): float32, :math:`(n, C, h, w)`, channels-last.
        conv (nn.Conv2d): Says stride, dilation and groups.
        packed (Tensor): Of :func:`pack_weight`.
        bias (Tensor, optional): :math:`(C_{out},)`.
        padding (Sequence[int]): Down and across. Defaults to (0, 0).
    """
    options = (conv.stride, conv.dilation, conv.groups)
    return torch.ops.mkldnn._convolution_pointwise(
        x, packed, bias, padding, *options, 'none', [None], ''
    )
