# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How much patches have changed, and copies of patches, compiled."""

from ctypes import byref, c_int, c_int64, c_void_p
from typing import Optional

import torch
from torch import Tensor

from . import library_for
from .pixel_changes import NOTHING_KNOWN, PixelChanges
from .tiles import Tiles, Two, pixel_step


def score_changes(
    x: Tensor,
    ref: Tensor,
    windows: Tiles,
    relative: bool = False,
    known: Optional[PixelChanges] = None,
) -> Optional[Tensor]:
    """Mean of the absolute difference over the windows of patches.

    Args:
        x (Tensor): Current map, :math:`(B, C, H, W)`, channels-last.
        ref (Tensor): Reference map of the same shape.
        windows (Tiles): Where they lie; what is outside counts as 0. Their
            pitch is the size of the patches, which cover the map.
        relative (bool): Whether it is divided by the mean magnitude of the
            map, from one pixel in 16. Defaults to False.
        known (PixelChanges, optional): What was found before; only the rest
            is compared. Defaults to None: everything is.

    Returns:
        Tensor | None: float32, :math:`(B, G_h, G_w)`; None where torch
        has to compute it.

    Examples:
        >>> x = torch.ones(1, 3, 4, 4).to(memory_format=torch.channels_last)
        >>> scores = score_changes(x, 0 * x, Tiles((2, 1), pitch=(2, 4)))
        >>> scores is None or scores.tolist() == [[[1.0], [1.0]]]
        True
    """
    lib, step = library_for(x, ref), pixel_step(x)
    if lib is None or step is None or pixel_step(ref) != ref.shape[1]:
        return None
    run = lib.patch_scores
    if not run.argtypes:
        run.restype, map_types = None, [c_void_p, c_int64, c_void_p, c_int]
        run.argtypes = [
            *(*map_types, c_int, c_int, *3 * [c_void_p]),
            *(c_int, c_void_p, c_int),
        ]
    samples, channels, *size = ref.shape
    scores = torch.empty((samples, *windows.pairs[0]), dtype=torch.float32)
    run(
        *(x.data_ptr(), step, ref.data_ptr(), channels, x.element_size()),
        *(samples, byref(Two(*size)), byref(windows.structure)),
        byref(NOTHING_KNOWN if known is None else known.structure()),
        *(relative, scores.data_ptr(), torch.get_num_threads()),
    )
    if known is not None:
        known.written = True
    return scores


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
