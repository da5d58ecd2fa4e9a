# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gather tiles of a map into a batch, and scatter them back.

A map in channels-last order is a table with one row of C values per pixel;
copying whole rows by number is what a CPU does fastest (measured against
advanced indexing, unfolding and strided windows).
"""

from typing import NamedTuple, Optional

import torch
from torch import Tensor

from .tile_plan import TilePlan
from .window import Pair

CHANNELS_LAST = torch.channels_last


class TileIndex(NamedTuple):
    """Which patches of which samples.

    Args:
        patch (Tensor): Number of the patch, :math:`(n,)`.
        sample (Tensor, optional): Number of the sample, :math:`(n,)`; None
            for a batch of one.
    """

    patch: Tensor
    sample: Optional[Tensor]

    @classmethod
    def of(cls, active: Tensor) -> 'TileIndex':
        """From active patches, bool, :math:`(B, G_h, G_w)`."""
        flat = active.reshape(-1).nonzero().view(-1)
        if len(active) == 1:
            return cls(flat, None)
        patches = active[0].numel()
        sample = torch.div(flat, patches, rounding_mode='floor')
        return cls(flat - sample * patches, sample)

    def __len__(self) -> int:
        return len(self.patch)

    def rows(self, table: Tensor, size: Pair) -> Tensor:
        """Numbers of all rows of the tiles, from a table of a plan."""
        rows = table.index_select(0, self.patch)
        if self.sample is not None:
            rows += (self.sample * (size[0] * size[1])).unsqueeze(1)
        return rows.view(-1)

    def outside(self, table: Optional[Tensor]) -> Optional[Tensor]:
        """Rows of the tiles that are outside of the map, if there are any."""
        if table is None:
            return None
        return table.index_select(0, self.patch).view(-1)


def as_rows(x: Tensor) -> Tensor:
    """A map as a table of pixels, without a copy if it is channels-last.

    Args:
        x (Tensor): :math:`(B, C, H, W)`.

    Returns:
        Tensor: :math:`(B H W, C)`.
    """
    x = x.contiguous(memory_format=CHANNELS_LAST)
    return x.permute(0, 2, 3, 1).view(-1, x.shape[1])


def as_runs(x: Tensor, run: int) -> Tensor:
    """A channels-last map as a table of runs of neighboring pixels.

    Args:
        x (Tensor): :math:`(B, C, H, W)`.
        run (int): Pixels of a run, a divisor of W.

    Returns:
        Tensor: :math:`(B H W / run, run C)`.
    """
    x = x.contiguous(memory_format=CHANNELS_LAST)
    return x.permute(0, 2, 3, 1).view(-1, run * x.shape[1])


def zero_outside(
    rows: Tensor, index: TileIndex, table: Optional[Tensor]
) -> None:
    """Set to zero, in place, what is outside of the map."""
    outside = index.outside(table)
    if outside is not None:
        outside = outside.nonzero().view(-1)
        if len(outside):
            rows.index_fill_(0, outside, 0)


def gather_tiles(x: Tensor, plan: TilePlan, index: TileIndex) -> Tensor:
    """Windows of patches as a batch; zero outside of the map.

    Args:
        x (Tensor): :math:`(B, C, H, W)`.
        plan (TilePlan): Of this size.
        index (TileIndex): The n patches.

    Returns:
        Tensor: :math:`(n, C, h, w)`, channels-last.
    """
    rows = as_rows(x)
    tiles = rows.index_select(0, index.rows(plan.read, plan.maps[0]))
    zero_outside(tiles, index, plan.read_outside)
    tiles = tiles.view(len(index), *plan.tiles[0], x.shape[1])
    return tiles.permute(0, 3, 1, 2)


def scatter_tiles(
    out: Tensor, tiles: Tensor, plan: TilePlan, index: TileIndex
) -> None:
    """Write outputs of patches to where they belong, in place.

    Args:
        out (Tensor): :math:`(B, C, H, W)`, channels-last.
        tiles (Tensor): :math:`(n, C, h, w)`.
        plan (TilePlan): Says where.
        index (TileIndex): The n patches.
    """
    if plan.write_outside is None:  # whole runs of pixels, fewer copies
        run = plan.out_patch[1]
        size = (plan.maps[-1][0], plan.maps[-1][1] // run)
        rows = index.rows(plan.write_runs, size)
        as_runs(out, run).index_copy_(0, rows, as_runs(tiles, run))
        return
    rows = index.rows(plan.write, plan.maps[-1])
    values = as_rows(tiles)
    outside = index.outside(plan.write_outside)
    if outside is not None:
        inside = (~outside).nonzero().view(-1)
        if len(inside) < len(rows):
            rows, values = rows[inside], values.index_select(0, inside)
    as_rows(out).index_copy_(0, rows, values)


def copy_patches(
    target: Tensor, source: Tensor, plan: TilePlan, index: TileIndex
) -> None:
    """Copy patches from one map to another, in place.

    Args:
        target (Tensor): :math:`(B, C, H, W)`, channels-last.
        source (Tensor): Of the same shape, or of more channels, of which the
            first are copied; of any precision.
        plan (TilePlan): Of this size.
        index (TileIndex): The patches.
    """
    channels = target.shape[1]
    if plan.own_outside is None and channels == source.shape[1]:
        run = plan.patch[1]
        size = (plan.maps[0][0], plan.maps[0][1] // run)
        rows = index.rows(plan.own_runs, size)
        runs = as_runs(source, run).index_select(0, rows).to(target.dtype)
        as_runs(target, run).index_copy_(0, rows, runs)
        return
    rows = index.rows(plan.own, plan.maps[0])
    outside = index.outside(plan.own_outside)
    if outside is not None:
        rows = rows[~outside]
    values = as_rows(source)[:, :channels].index_select(0, rows)
    values = values.to(target.dtype)
    as_rows(target).index_copy_(0, rows, values)
