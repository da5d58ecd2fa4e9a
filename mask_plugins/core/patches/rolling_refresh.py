# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Patches that are computed again although a gate would skip them.

References age. Instead of a whole frame now and then, every frame computes an
equal share of the patches again, the same part of the picture in all layers:
a layer that is refreshed there reads what the layers before it have just
refreshed.
"""

from functools import lru_cache

import torch
from torch import Tensor

from .geometry import Pair

#: Of a position along one side of the picture.
BITS = 15


@lru_cache(maxsize=1024)
def due_patches(
    grid: Pair, every: int, frame: int, count: int, device: torch.device
) -> Tensor:
    """Patches whose turn it is in some frames.

    Turns follow a Z-curve over the picture, whatever the grid, so that a
    patch of a coarse grid comes with the patches of a fine one that cover it.

    Args:
        grid (tuple[int, int]): Patches down and across.
        every (int): Frames after which it is the same patch's turn again.
        frame (int): The last of the frames, modulo ``every``.
        count (int): How many frames, up to ``every``.
        device (torch.device): Of the result.

    Returns:
        Tensor: bool, :math:`(G_h, G_w)`; of one frame, a share of
        ``1 / every`` of them, rounded up or down.

    Examples:
        >>> due_patches((2, 4), 4, 0, 1, torch.device('cpu'))
        tensor([[ True,  True, False, False],
                [False, False, False, False]])
        >>> due_patches((4, 8), 4, 0, 1, torch.device('cpu'))[:2, :4].all()
        tensor(True)
    """
    down, across = (
        (torch.arange(side) * 2 + 1) * 2**BITS // (2 * side) for side in grid
    )
    code = _spread_bits(down)[:, None] * 2 + _spread_bits(across)  # Gh, Gw
    rank = code.flatten().argsort().argsort().view(grid)
    turn = torch.div(rank * every, rank.numel(), rounding_mode='floor')
    return (((frame - turn) % every) < count).to(device)


def _spread_bits(x: Tensor) -> Tensor:
    """Numbers with a zero before each of their bits."""
    return sum(((x >> bit) & 1) << (2 * bit) for bit in range(BITS))
