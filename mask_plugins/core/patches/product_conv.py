# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A convolution of small tiles as one matrix product."""

import math
from typing import Optional, Tuple

import torch
from torch import Tensor, nn

#: Output pixels of a tile for which the product is faster than oneDNN, which
#: works on one tile after another; above it loses (measured).
MOST_PIXELS = 4


def weight_matrix(weight: Tensor) -> Tensor:
    """A weight as a matrix: taps and input channels by output channels.

    Args:
        weight (Tensor): :math:`(C_{out}, C_{in}, h, w)`.
    """
    return weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()


def is_small(x: Tensor, conv: nn.Conv2d) -> bool:
    """Whether tiles are small enough for :func:`product_conv2d`.

    Args:
        x (Tensor): :math:`(n, C, h, w)`.
        conv (nn.Conv2d): The convolution, without its padding.
    """
    return math.prod(_out_size(x, conv)) <= MOST_PIXELS


def product_conv2d(
    x: Tensor, conv: nn.Conv2d, matrix: Tensor, bias: Optional[Tensor]
) -> Tensor:
    """A convolution without padding.

    Args:
        x (Tensor): :math:`(n, C, h, w)`.
        conv (nn.Conv2d): Says stride, dilation and kernel; of one group.
        matrix (Tensor): Of :func:`weight_matrix`.
        bias (Tensor, optional): :math:`(C_{out},)`.

    Returns:
        Tensor: :math:`(n, C_{out}, h', w')`, channels-last.

    Examples:
        >>> conv, x = nn.Conv2d(3, 4, 3), torch.randn(5, 3, 4, 4)
        >>> matrix = weight_matrix(conv.weight.detach())
        >>> out = product_conv2d(x, conv, matrix, conv.bias.detach())
        >>> torch.allclose(out, conv(x), atol=1e-5), out.shape[2:]
        (True, torch.Size([2, 2]))
    """
    height, width = _out_size(x, conv)
    tiles = x.permute(0, 2, 3, 1).contiguous()
    n, down, across, channel = tiles.stride()
    # Every output pixel with the values that it reads: n, y, x, taps, C.
    steps = [
        *(down * conv.stride[0], across * conv.stride[1]),
        *(down * conv.dilation[0], across * conv.dilation[1], channel),
    ]
    size = (len(x), height, width, *conv.kernel_size, x.shape[1])
    rows = tiles.as_strided(size, (n, *steps)).reshape(-1, len(matrix))
    out = rows @ matrix if bias is None else torch.addmm(bias, rows, matrix)
    return out.view(len(x), height, width, -1).permute(0, 3, 1, 2)


def _out_size(x: Tensor, conv: nn.Conv2d) -> Tuple[int, ...]:
    return tuple(
        (side - d * (k - 1) - 1) // s + 1
        for side, k, s, d in zip(
            x.shape[2:], conv.kernel_size, conv.stride, conv.dilation
        )
    )
