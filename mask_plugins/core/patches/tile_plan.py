# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tables of which pixels the tiles of a chain of operations read and write."""

from functools import lru_cache
from typing import List, Optional, Tuple

import torch
from torch import Tensor

from .geometry import Geometry
from .window import Pair, PatchWindow


class TilePlan:
    """Where tiles lie on every level of a chain, for one size of the input.

    The patch of a tile is the part of the input that it owns; its output is
    the part of the result that is cached for it, smaller by the strides; its
    window is all of the input that this output depends on (SBNet, Ren et al.,
    CVPR 2018, gathers such overlapping tiles). Maps are seen as tables of one
    row per pixel, so that a tile is a list of row numbers.

    Args:
        size (tuple[int, int]): Height and width of the input.
        geometries (tuple[Geometry]): Of the operations, in order.
        patch (tuple[int, int]): Height and width of a patch of the input: a
            multiple of the product of the strides.
        device (torch.device): Where the tables are.
        grid (tuple[int, int], optional): Patches down and across, at least as
            many as the map has; of a plan that this one is a part of.
            Defaults to None.

    Raises:
        ValueError: If the patch is no such multiple or the input too small.
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
            raise ValueError(
                f'a map of {size[0]}x{size[1]} is too small for the gated '
                f'layer: its output would be {self.maps[-1]}'
            )
        self.out_patch = tuple(
            self._out_patch(axis, geometries) for axis in (0, 1)
        )
        axes = [self._levels(axis, geometries) for axis in (0, 1)]
        #: Height and width of a tile at each level.
        self.tiles = [
            (rows[1], cols[1]) for rows, cols in zip(axes[0], axes[1])
        ]
        #: First pixel of tile (0, 0) at each level.
        self.starts = [
            (rows[2], cols[2]) for rows, cols in zip(axes[0], axes[1])
        ]
        #: Pixels from tile to tile at each level: what a patch owns there.
        self.steps = steps = [
            (rows[0], cols[0]) for rows, cols in zip(axes[0], axes[1])
        ]
        # Every pixel has an owner, also where no output is left of it.
        self.grid = grid or tuple(
            max(
                -(-level[axis] // step[axis])
                for level, step in zip(self.maps, steps)
            )
            for axis in (0, 1)
        )
        self.patches = self.grid[0] * self.grid[1]
        self.window = self._window(geometries)
        last = len(geometries)
        self.read, self.read_outside = self._table(
            0, steps[0], self.starts[0], self.tiles[0]
        )
        self.write, self.write_outside = self._table(
            last, steps[last], self.starts[last], self.tiles[last]
        )
        self.own, self.own_outside = self._table(0, patch, (0, 0), patch)
        #: The same for runs of pixels, as wide as a patch: of use where
        #: nothing is outside, so that runs begin at multiples of their length.
        self.write_runs = self._runs(self.write, self.out_patch[1])
        self.own_runs = self._runs(self.own, patch[1])
        #: Pixels of tiles outside of the map at levels between.
        self.between: List[Optional[Tensor]] = [
            self._table(
                level, steps[level], self.starts[level], self.tiles[level]
            )[1]
            for level in range(1, last)
        ]
        #: What a frame that is computed in full has computed.
        self.all_active = torch.ones(
            self.grid, dtype=torch.bool, device=device
        )
        self._spread: Optional[Tuple[Tensor, Tensor]] = None

    def _out_patch(self, axis: int, geometries: Tuple[Geometry, ...]) -> int:
        stride = 1
        for geometry in geometries:
            stride *= geometry.stride[axis]
        if self.patch[axis] % stride:
            raise ValueError(
                'patch_size must be a multiple of the stride of the gated '
                f'layer, {stride}, got {self.patch[axis]}'
            )
        return self.patch[axis] // stride

    def _levels(self, axis: int, geometries: Tuple[Geometry, ...]):
        """Step, size and first pixel of tiles at each level, input first."""
        step = length = self.out_patch[axis]
        start = 0
        levels = [(step, length, start)]
        for geometry in reversed(geometries):
            stride = geometry.stride[axis]
            step = step * stride
            start = start * stride - geometry.before[axis]
            length = (length - 1) * stride + geometry.reach(axis)
            levels.insert(0, (step, length, start))
        return levels

    def _window(self, geometries: Tuple[Geometry, ...]) -> PatchWindow:
        # The patch itself is always part of it: a change anywhere makes its
        # owner active, so that the reference never lags behind the output.
        # So is what hidden pixels that it owns depend on: they are cached.
        before, size = [], []
        for axis in (0, 1):
            first, last = [0], [self.patch[axis]]
            for level in range(1, len(self.maps)):
                start, end = 0, self.steps[level][axis]
                for geometry in reversed(geometries[:level]):
                    stride = geometry.stride[axis]
                    start = start * stride - geometry.before[axis]
                    end = (end - 1) * stride + geometry.reach(axis)
                    end -= geometry.before[axis]
                first.append(start)
                last.append(end)
            before.append(-min(first))
            size.append(max(last) - min(first))
        return PatchWindow(self.patch, tuple(before), tuple(size), self.grid)

    def _pixels(self, axis: int, step: int, start: int, length: int) -> Tensor:
        first = torch.arange(self.grid[axis]) * step + start
        return first[:, None] + torch.arange(length)  # G, length

    def _table(
        self, level: int, step: Pair, start: Pair, length: Pair
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Row numbers of each tile, and which of them are outside."""
        index, outside = [], []
        for axis in (0, 1):
            pixels = self._pixels(axis, step[axis], start[axis], length[axis])
            end = self.maps[level][axis]
            outside.append((pixels < 0) | (pixels >= end))
            index.append(pixels.clamp(0, end - 1))
        rows, cols = index
        table = rows[:, None, :, None] * self.maps[level][1]
        table = table + cols[None, :, None, :]  # G_h, G_w, h, w
        out = outside[0][:, None, :, None] | outside[1][None, :, None, :]
        table = table.reshape(self.patches, -1).to(self.device)
        out = out.reshape(self.patches, -1).to(self.device)
        return table, out if bool(out.any()) else None

    @staticmethod
    def _runs(table: Tensor, run: int) -> Tensor:
        return torch.div(table[:, ::run], run, rounding_mode='floor')

    def spread(self, active: Tensor) -> Tensor:
        """Patches whose output depends on any active patch.

        Args:
            active (Tensor): bool, :math:`(B, G_h, G_w)`.

        Returns:
            Tensor: bool, of the same shape.
        """
        if self._spread is None:
            self._spread = tuple(self._reaches(axis) for axis in (0, 1))
        rows, cols = self._spread
        return (rows @ active.float() @ cols.t()) > 0

    def _reaches(self, axis: int) -> Tensor:
        patch = self.patch[axis]
        own = torch.arange(self.grid[axis]) * patch
        start = own + self.starts[0][axis]
        end = start + self.tiles[0][axis]
        meets = (own[None] < end[:, None]) & (
            own[None] + patch > start[:, None]
        )
        return meets.float().to(self.device)

    @property
    def plain_window(self) -> PatchWindow:
        """The patches alone, without what else they depend on."""
        return PatchWindow(self.patch, (0, 0), self.patch, self.grid)


@lru_cache(maxsize=512)
def tile_plan(
    size: Pair,
    geometries: Tuple[Geometry, ...],
    patch: Pair,
    device: torch.device,
    grid: Optional[Pair] = None,
) -> TilePlan:
    """The plan of these sizes, made once: see :class:`TilePlan`."""
    return TilePlan(size, geometries, patch, device, grid)
