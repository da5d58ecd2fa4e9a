# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A convolution over the active patches of a map."""

import torch
from torch import Tensor, nn

from .chain import Chain
from .step import Step
from .tiles import TileIndex, scatter_tiles
from .window import pair


@torch.no_grad()
def sparse_conv2d(
    x: Tensor, conv: nn.Conv2d, active: Tensor, out: Tensor, patch_size=8
) -> Tensor:
    """Compute a convolution where patches are active, in place.

    Tiles of active patches are gathered with what the kernel reads around
    them, convolved as one batch, and scattered into the output, which keeps
    its values elsewhere (SBNet, Ren et al., CVPR 2018).

    Args:
        x (Tensor): Current input, :math:`(B, C, H, W)`; best channels-last.
        conv (nn.Conv2d): Any kernel, stride, zero padding, dilation, groups.
        active (Tensor): bool, :math:`(B, G_h, G_w)`, over a grid of patches
            of the input, the last ones sticking out if need be.
        out (Tensor): Output of an earlier frame, channels-last; changed.
        patch_size (int | tuple[int, int]): Of the input; a multiple of the
            stride. Defaults to 8.

    Returns:
        Tensor: ``out``.

    Raises:
        ValueError: If shapes or the memory format do not fit.
    """
    chain = Chain([Step(conv)])
    plan = chain.plan(x.shape[-2:], pair(patch_size, 'patch_size'), x.device)
    if active.dtype is not torch.bool or active.shape != (len(x), *plan.grid):
        raise ValueError(
            f'active must be bool of shape {(len(x), *plan.grid)}, got '
            f'{active.dtype} of {tuple(active.shape)}'
        )
    shape = (len(x), conv.out_channels, *plan.maps[-1])
    if out.shape != shape:
        raise ValueError(
            f'out must be of shape {shape}, got {tuple(out.shape)}'
        )
    if not out.is_contiguous(memory_format=torch.channels_last):
        raise ValueError('out must be channels-last, got another order')
    chain.version()
    index = TileIndex.of(active)
    if len(index):
        scatter_tiles(out, chain.run(x, plan, index), plan, index)
    return out
