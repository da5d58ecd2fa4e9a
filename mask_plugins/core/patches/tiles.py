# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gather tiles of a map into a batch, and scatter them back.

A map in channels-last order is a table with one row of C values per pixel;
copying whole rows by number is what a CPU does fastest (measured against
advanced indexing, unfolding and strided windows).
"""

from typing import NamedTuple, Optional

import torch
from torch import Tensor

from mask_plugins.native.patch_change import copy_tiles

from .tile_plan import PixelTable, TilePlan

CHANNELS_LAST = torch.channels_last


class TileIndex(NamedTuple):
    """Which patches of which samples.

    Args:
        patch (Tensor): Number of the patch, :math:`(n,)`.
        sample (Tensor, optional): Number of the sample, :math:`(n,)`; None
            for a batch of one.

    Examples:
        >>> active = torch.tensor([[[True, False]], [[True, True]]])
        >>> index = TileIndex.of(active)
        >>> index.sample.tolist(), index.patch.tolist(), len(index)
        ([0, 1, 1], [0, 0, 1], 3)
    """

    patch: Tensor
    sample: Optional[Tensor]

    @classmethod
    def of(cls, active: Tensor) -> 'TileIndex':
        """Number the active patches, bool, :math:`(B, G_h, G_w)`."""
        flat = active.reshape(-1).nonzero().view(-1)  # n
        if len(active) == 1:
            return cls(flat, None)
        patches = active[0].numel()
        sample = torch.div(flat, patches, rounding_mode='floor')
        return cls(flat - sample * patches, sample)

    def __len__(self) -> int:
        return len(self.patch)

    def numbers(self, plan: TilePlan) -> Tensor:
        """Those of the patches, counted through all samples, (n,)."""
        if self.sample is None:
            return self.patch
        return self.sample * plan.patches + self.patch

    def rows(self, table: PixelTable) -> Tensor:
        """Numbers of all rows (or runs) of the tiles, :math:`(n h w,)`."""
        rows = table.rows.index_select(0, self.patch)  # n, h w
        if self.sample is not None:
            rows += (self.sample * table.entries).unsqueeze(1)
        return rows.view(-1)

    def outside(self, table: PixelTable) -> Optional[Tensor]:
        """Which rows are outside of the map, :math:`(n h w,)`, or None."""
        if table.outside is None:
            return None
        return table.outside.index_select(0, self.patch).view(-1)


def as_rows(x: Tensor, run: int = 1) -> Tensor:
    """A map as a table of pixels, without a copy if it is channels-last.

    Args:
        x (Tensor): :math:`(B, C, H, W)`.
        run (int): Neighboring pixels of a row of the table, a divisor of W.
            Defaults to 1.

    Returns:
        Tensor: :math:`(B H W / run, run C)`.
    """
    x = x.contiguous(memory_format=CHANNELS_LAST)
    return x.permute(0, 2, 3, 1).view(-1, run * x.shape[1])


def zero_outside(tiles: Tensor, table: PixelTable, index: TileIndex) -> None:
    """Set to zero, in place, what is outside of the map.

    Args:
        tiles (Tensor): :math:`(n, C, h, w)`, channels-last.
        table (PixelTable): Of the tiles.
        index (TileIndex): The n patches.
    """
    outside = index.outside(table)
    if outside is not None:
        rows = outside.nonzero().view(-1)
        if len(rows):
            as_rows(tiles).index_fill_(0, rows, 0)


def gather_tiles(x: Tensor, plan: TilePlan, index: TileIndex) -> Tensor:
    """Windows of patches as a batch; zero outside of the map.

    Args:
        x (Tensor): :math:`(B, C, H, W)`.
        plan (TilePlan): Of this size.
        index (TileIndex): The n patches.

    Returns:
        Tensor: :math:`(n, C, h, w)`, channels-last.
    """
    table = plan.tables[0].runs or plan.tables[0]
    rows = as_rows(x, table.run).index_select(0, index.rows(table))
    tiles = rows.view(len(index), *plan.tiles[0], x.shape[1])
    tiles = tiles.permute(0, 3, 1, 2)  # n, C, h, w
    zero_outside(tiles, table, index)
    return tiles


def scatter_tiles(
    out: Tensor, tiles: Tensor, plan: TilePlan, index: TileIndex
) -> None:
    """Write outputs of patches to where they belong, in place.

    Args:
        out (Tensor): :math:`(B, C, H, W)`, channels-last.
        tiles (Tensor): :math:`(n, C, h, w)`.
        plan (TilePlan): Says where.
        index (TileIndex): The n patches.

    Examples:
        >>> plan = TilePlan((2, 4), (), (2, 2), torch.device('cpu'))
        >>> out, tiles = torch.zeros(1, 1, 2, 4), torch.ones(1, 1, 2, 2)
        >>> scatter_tiles(out, tiles, plan, TileIndex(torch.tensor([0]), None))
        >>> out[0, 0].tolist()
        [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]
    """
    table = plan.tables[-1].runs or plan.tables[-1]
    rows, values = index.rows(table), as_rows(tiles, table.run)
    outside = index.outside(table)
    if outside is not None:
        inside = (~outside).nonzero().view(-1)
        if len(inside) < len(rows):
            rows, values = rows[inside], values.index_select(0, inside)
    as_rows(out, table.run).index_copy_(0, rows, values)


def copy_patches(
    target: Tensor, source: Tensor, plan: TilePlan, index: TileIndex
) -> None:
    """Copy patches from one map to another, in place.

    Args:
        target (Tensor): :math:`(B, C, H, W)`, channels-last.
        source (Tensor): Of the same shape, or of more channels, of which the
            first are copied.
        plan (TilePlan): Of this size.
        index (TileIndex): The patches.

    Examples:
        >>> plan = TilePlan((2, 4), (), (2, 2), torch.device('cpu'))
        >>> target, source = torch.zeros(1, 1, 2, 4), torch.ones(1, 1, 2, 4)
        >>> index = TileIndex(torch.tensor([1]), None)
        >>> copy_patches(target, source, plan, index)
        >>> target[0, 0].tolist()
        [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    """
    if copy_tiles(target, source, plan.own_tiles, index.numbers(plan)):
        return
    table, channels = plan.own, target.shape[1]
    if channels == source.shape[1]:
        table = table.runs or table
    rows = index.rows(table)
    outside = index.outside(table)
    if outside is not None:
        rows = rows[~outside]
    values = as_rows(source, table.run).index_select(0, rows)
    values = values[:, : channels * table.run]  # all, or of the first ones
    as_rows(target, table.run).index_copy_(0, rows, values)
