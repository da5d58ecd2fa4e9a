# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Where the tiles of patches lie, for the kernels."""

from ctypes import Structure, c_int32
from functools import cached_property
from typing import Optional, Tuple

from torch import Tensor, channels_last

Pair = Tuple[int, int]
Two = c_int32 * 2


class CTiles(Structure):
    """As in src/patch_pixels.h."""

    _fields_ = [(n, Two) for n in ('grid', 'pitch', 'start', 'size')] + [
        (n, c_int32) for n in ('from_tiles', 'to_tiles')
    ]


class Tiles:
    """Tiles of a map, of patch (i, j) the pixels from i * pitch + start.

    Args:
        grid (tuple[int, int]): Patches down and across.
        pitch (tuple[int, int]): Pixels from patch to patch.
        start (tuple[int, int]): First pixel of patch (0, 0); those outside
            of the map are not computed. Defaults to (0, 0).
        size (tuple[int, int], optional): Pixels of a tile. Defaults to the
            pitch.
        from_tiles (bool): Whether the input is one small map per tile, which
            begins where the tile reads. Defaults to False.
        to_tiles (bool): Whether the output is; it is zero outside of the
            map. Defaults to False.

    Examples:
        >>> list(Tiles(grid=(2, 3), pitch=(4, 4)).structure.size)
        [4, 4]
    """

    def __init__(
        self,
        grid: Pair,
        pitch: Pair,
        start: Pair = (0, 0),
        size: Optional[Pair] = None,
        from_tiles: bool = False,
        to_tiles: bool = False,
    ) -> None:
        self.pairs = (grid, pitch, start, size or pitch)
        self.flags = (from_tiles, to_tiles)

    @cached_property
    def structure(self) -> CTiles:
        """What the kernels take."""
        return CTiles(*(Two(*pair) for pair in self.pairs), *self.flags)


def pixel_step(x: Tensor) -> Optional[int]:
    """Values from pixel to pixel of a map in channels-last order.

    Args:
        x (Tensor): :math:`(B, C, H, W)`, or the first channels of one.

    Returns:
        int | None: None if it is in another order.

    Examples:
        >>> import torch
        >>> x = torch.zeros(1, 8, 4, 4).to(memory_format=torch.channels_last)
        >>> pixel_step(x[:, :3]), pixel_step(x.contiguous())
        (8, None)
    """
    _, channels, height, width = x.shape
    if x.is_contiguous(memory_format=channels_last):
        return channels
    samples, channel, line, step = x.stride()
    lines = channel == 1 and step >= channels and line == width * step
    return step if lines and samples == height * line else None
