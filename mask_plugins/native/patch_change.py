# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How much patches have changed, and copies of patches, compiled."""

from ctypes import byref, c_int, c_int64, c_void_p
from typing import Optional

import torch
from torch import Tensor

from . import library_for
from .tiles import Tiles, Two, pixel_step


def sum_changes(x: Tensor, ref: Tensor, windows: Tiles) -> Optional[Tensor]:
    """Sums of the absolute difference over the windows of patches.

    Args:
        x (Tensor): Current map, :math:`(B, C, H, W)`, channels-last.
        ref (Tensor): Reference map of the same shape.
        windows (Tiles): Where they lie; what is outside counts as 0.

    Returns:
        Tensor | None: float32, :math:`(B, G_h, G_w)`; None where torch
        has to compute it.

    Examples:
        >>> x = torch.ones(1, 3, 4, 4).to(memory_format=torch.channels_last)
        >>> sums = sum_changes(x, 0 * x, Tiles(grid=(2, 1), pitch=(2, 4)))
        >>> sums is None or sums.tolist() == [[[24.0], [24.0]]]
        True
    """
    lib, step = library_for(x, ref), pixel_step(x)
    if lib is None or step is None or pixel_step(ref) != ref.shape[1]:
        return None
    run = lib.patch_changes
    if not run.argtypes:
        run.restype, map_types = None, [c_void_p, c_int64, c_void_p, c_int]
        run.argtypes = [*map_types, c_int, *3 * [c_void_p], c_int]
    sums = x.new_zeros(len(x), *windows.pairs[0], dtype=torch.float32)
    size, structure = Two(*x.shape[2:]), windows.structure
    for row in range(len(x)):
        run(
            *(x[row].data_ptr(), step, ref[row].data_ptr(), ref.shape[1]),
            *(x.element_size(), byref(size), byref(structure)),
            *(sums[row].data_ptr(), torch.get_num_threads()),
        )
    return sums


def copy_tiles(
    target: Tensor, source: Tensor, tiles: Tiles, numbers: Tensor
) -> bool:
    """Copy patches from one map to another, in place.

    Args:
        target (Tensor): :math:`(B, C, H, W)`, channels-last.
        source (Tensor): Of the same dtype, and of the same shape or of more
            channels, of which the first are copied.
        tiles (Tiles): Where they lie.
        numbers (Tensor): int64, those of the patches, counted through all
            samples.

    Returns:
        bool: False, and nothing done, where torch has to do it.

    Examples:
        >>> x = torch.ones(1, 3, 4, 4).to(memory_format=torch.channels_last)
        >>> y, tiles = torch.zeros_like(x), Tiles(grid=(2, 1), pitch=(2, 4))
        >>> done = copy_tiles(y, x, tiles, torch.tensor([1]))
        >>> y.sum((0, 1, 3)).tolist() == (2 * [0.0] + 2 * [12.0 * done])
        True
    """
    lib = library_for(target, source)
    steps = pixel_step(source), pixel_step(target)
    if lib is None or None in steps or steps[1] != target.shape[1]:
        return False
    run = lib.patch_copy
    if not run.argtypes:
        run.restype, maps = None, 2 * [c_void_p, c_int64]
        run.argtypes = [*maps, *3 * [c_void_p], c_int64, c_int]
    size = target.element_size()
    run(
        *(source.data_ptr(), steps[0] * size),
        *(target.data_ptr(), steps[1] * size),
        *(byref(Two(*target.shape[2:])), byref(tiles.structure)),
        *(numbers.data_ptr(), len(numbers), torch.get_num_threads()),
    )
    return True
