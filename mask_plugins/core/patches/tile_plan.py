# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tables of which pixels the tiles of a chain of operations read and write."""

import math
from functools import cached_property, lru_cache
from typing import List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from mask_plugins.native.tiles import Tiles

from .geometry import Geometry, Pair
from .patch_window import PatchWindow


class PixelTable(NamedTuple):
    """Pixels of each tile on one map, as row numbers of the map's pixels.

    Args:
        rows (Tensor): int64, :math:`(P, h w)`; pixels outside of the map have
            the number of the nearest one inside.
        outside (Tensor, optional): bool, of the same shape; None if no pixel
            is outside.
        entries (int): Rows of the table of one map.
        run (int): Neighboring pixels that a row stands for. Defaults to 1.
        runs (PixelTable, optional): The same in runs as wide as a tile, which
            are fewer copies; None if tiles overlap or stick out.
    """

    rows: Tensor
    outside: Optional[Tensor]
    entries: int
    run: int = 1
    runs: Optional['PixelTable'] = None


class TilePlan:
    """Where tiles lie on every level of a chain, for one size of the input.

    The patch of a tile is the part of the input that it owns; its output is
    the part of the result that is cached for it, smaller by the strides; its
    window is all of the input that this output depends on (SBNet, Ren et al.,
    CVPR 2018, gathers such overlapping tiles). Maps are tables of one row per
    pixel, so that a tile is a list of row numbers.

    Args:
        size (tuple[int, int]): Height and width of the input.
        geometries (tuple[Geometry]): Of the operations, in order.
        patch (tuple[int, int]): Height and width of a patch of the input: a
            multiple of the product of the strides.
        device (torch.device): Where the tables are.
        grid (tuple[int, int], optional): Patches down and across, at least as
            many as the map has, of a plan that this one is a part of.
            Defaults to None.

    Raises:
        ValueError: If the patch is not such a multiple, or the input is too
            small.
    """

    def __init__(
        self,
        size: Pair,
        geometries: Tuple[Geometry, ...],
        patch: Pair,
        device: torch.device,
        grid: Optional[Pair] = None,
    ) -> None:
        self.patch = patch
        self.device = device
        #: Height and width of the map at each level, the input first.
        self.maps = [tuple(size)]
        for geometry in geometries:
            self.maps.append(geometry.out_size(self.maps[-1]))
        if min(self.maps[-1]) < 1:
            raise ValueError(f'a map of {size[0]}x{size[1]} is too small')
        axes = [_levels(axis, geometries, patch) for axis in (0, 1)]
        # Of each level: pixels from tile to tile (what a patch owns there),
        # height and width of a tile, and the first pixel of tile (0, 0).
        self.steps, self.tiles, self.starts = (
            list(zip(*(level[kind] for level in axes))) for kind in range(3)
        )
        self.out_patch = self.steps[-1]
        # Every pixel has an owner, also where no output is left of it.
        self.grid = grid or tuple(
            max(
                -(-level[axis] // step[axis])
                for level, step in zip(self.maps, self.steps)
            )
            for axis in (0, 1)
        )
        self.patches = self.grid[0] * self.grid[1]
        self.window = self._window(geometries)
        self.plain_window = PatchWindow(patch, (0, 0), patch, self.grid)
        #: Pixels of the tiles at each level: what is read comes first, what
        #: is written last.
        self.tables = list(
            map(self._table, self.maps, self.steps, self.starts, self.tiles)
        )
        #: Pixels of the patches themselves.
        self.own = self._table(self.maps[0], patch, (0, 0), patch)
        self.own_tiles = Tiles(self.grid, patch)
        #: What a frame that is computed in full has computed.
        self.all_active = torch.ones(self.grid, device=device).bool()

    def _window(self, geometries: Tuple[Geometry, ...]) -> PatchWindow:
        # The patch itself is always part of it: a change anywhere makes its
        # owner active, so that the reference never lags behind the output.
        # So is what hidden pixels that it owns depend on: they are cached.
        before, size = [], []
        for axis in (0, 1):
            first, last = [], []
            for level, step in enumerate(self.steps):
                start, length = 0, step[axis]
                for geometry in reversed(geometries[:level]):
                    start, length = geometry.source(axis, start, length)
                first.append(start)
                last.append(start + length)
            before.append(-min(first))
            size.append(max(last) - min(first))
        return PatchWindow(self.patch, tuple(before), tuple(size), self.grid)

    def _table(
        self, size: Pair, step: Pair, start: Pair, tile: Pair
    ) -> PixelTable:
        at = []
        for axis, shape in ((0, (-1, 1, tile[0], 1)), (1, (-1, 1, tile[1]))):
            first = torch.arange(self.grid[axis]) * step[axis] + start[axis]
            pixels = first[:, None] + torch.arange(tile[axis])  # G, length
            at.append(pixels.view(shape))
        inside = [index.clamp(0, end - 1) for index, end in zip(at, size)]
        rows = inside[0] * size[1] + inside[1]  # G_h, G_w, h, w
        out = (at[0] != inside[0]) | (at[1] != inside[1])
        rows = rows.reshape(self.patches, -1).to(self.device)  # P, h w
        out = out.reshape(self.patches, -1).to(self.device)
        pixels, run = size[0] * size[1], tile[1]
        if bool(out.any()):
            return PixelTable(rows, out, pixels)
        if step != tile or start != (0, 0):
            return PixelTable(rows, None, pixels)
        first = torch.div(rows[:, ::run], run, rounding_mode='floor')
        runs = PixelTable(first, None, pixels // run, run)
        return PixelTable(rows, None, pixels, runs=runs)

    def spread(self, active: Tensor) -> Tensor:
        """Patches whose output depends on any active patch.

        Args:
            active (Tensor): bool, :math:`(B, G_h, G_w)`.

        Returns:
            Tensor: bool, of the same shape.
        """
        rows, cols = self._reaches
        return (rows @ active.float() @ cols.t()) > 0

    @cached_property
    def _reaches(self) -> List[Tensor]:
        """Which patches read which others, by axis: G x G of 0 and 1."""
        found = []
        for axis, patch in enumerate(self.patch):
            own = torch.arange(self.grid[axis]) * patch
            start = (own + self.starts[0][axis])[:, None]
            end = start + self.tiles[0][axis]
            meets = (own < end) & (own + patch > start)
            found.append(meets.float().to(self.device))
        return found


def _levels(axis: int, geometries: Tuple[Geometry, ...], patch: Pair):
    """Steps, sizes and first pixels of tiles at each level, input first."""
    stride = math.prod(geometry.stride[axis] for geometry in geometries)
    if patch[axis] % stride:
        allowed = f'a multiple of the stride, {stride}'
        raise ValueError(f'patch_size must be {allowed}, got {patch[axis]}')
    step, start = patch[axis] // stride, 0
    length = step
    levels = [(step, length, start)]
    for geometry in reversed(geometries):
        step *= geometry.stride[axis]
        start, length = geometry.source(axis, start, length)
        levels.insert(0, (step, length, start))
    return list(zip(*levels))


@lru_cache(maxsize=512)
def tile_plan(
    size: Pair,
    geometries: Tuple[Geometry, ...],
    patch: Pair,
    device: torch.device,
    grid: Optional[Pair] = None,
) -> TilePlan:
    """The plan of these sizes, made once: see :class:`TilePlan`.

    Examples:
        >>> conv = Geometry(kernel=(3, 3), before=(1, 1), after=(1, 1))
        >>> plan = tile_plan((16, 24), (conv,), (8, 8), 'cpu')
        >>> plan.grid, plan.window.size
        ((2, 3), (10, 10))
    """
    return TilePlan(size, geometries, patch, device, grid)
