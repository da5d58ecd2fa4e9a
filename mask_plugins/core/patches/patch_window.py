# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Where the patches of a map lie, and what each of them depends on."""

from functools import lru_cache
from typing import NamedTuple, Optional

from mask_plugins.native.tiles import Tiles

from .geometry import Pair


class PatchWindow(NamedTuple):
    """A grid of patches and the window of pixels that each depends on.

    Patch (i, j) owns pixels from (i * patch[0], j * patch[1]) and depends on
    those from (i * patch[0] - before[0], ...) over ``size``: the receptive
    field of the outputs that are cached for it. Windows may stick out of the
    map, where it counts as zero.

    Args:
        patch (tuple[int, int]): Height and width of a patch in pixels.
        before (tuple[int, int]): Pixels that a window starts before its
            patch; negative where it starts after.
        size (tuple[int, int]): Height and width of a window.
        grid (tuple[int, int]): Number of patches down and across.
    """

    patch: Pair
    before: Pair
    size: Pair
    grid: Pair

    @classmethod
    def plain(cls, size: Pair, patch: Pair) -> 'PatchWindow':
        """Patches that cover a map and depend on their own pixels alone.

        Args:
            size (tuple[int, int]): Height and width of the map; the last
                patches may stick out.
            patch (tuple[int, int]): Height and width of a patch.
        """
        grid = tuple(-(-side // step) for side, step in zip(size, patch))
        return cls(tuple(patch), (0, 0), tuple(patch), grid)

    @property
    def patches(self) -> int:
        """Number of patches."""
        return self.grid[0] * self.grid[1]

    @property
    def tiles(self) -> Tiles:
        """The windows, for the kernels."""
        return _tiles(self)

    def covers(self, other: 'PatchWindow') -> bool:
        """Whether the windows contain those of another one."""
        ends = [
            [size - before for size, before in zip(w.size, w.before)]
            for w in (self, other)
        ]
        return all(a >= b for a, b in zip(self.before, other.before)) and all(
            a >= b for a, b in zip(*ends)
        )


@lru_cache(maxsize=512)
def _tiles(window: PatchWindow) -> Tiles:
    start = tuple(-before for before in window.before)
    return Tiles(window.grid, window.patch, start, window.size)


#: None: plain patches, of the size of a gate's.
Window = Optional[PatchWindow]
