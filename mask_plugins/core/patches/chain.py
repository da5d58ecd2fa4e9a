# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A chain of operations, with a shortcut perhaps, that runs on tiles."""

from typing import Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from .geometry import IDENTITY, Geometry
from .step import Folded, Step, activate_
from .tile_plan import TilePlan, tile_plan
from .tiles import (
    TileIndex,
    as_rows,
    gather_tiles,
    scatter_tiles,
    zero_outside,
)
from .window import Pair


class Chain:
    """Operations on tiles: one gather, all of them, one scatter; or each.

    The maps between the operations may exist on tiles alone, where each tile
    computes what its neighbors need of them, too; or they are cached like
    the output: no pixel is computed twice, so that small tiles are hardly
    dearer than large ones.

    A residual block is a chain with a shortcut; one convolution is a chain of
    one. Normalizations are folded into weights, which are folded again when
    one of them changes.

    Args:
        steps (Sequence[Step]): In order.
        shortcut (Sequence[Step], optional): Of a residual block: empty where
            the input itself is added; None if there is no shortcut.
            Defaults to None.
        act (nn.Module, optional): After the addition. Defaults to None.

    Raises:
        TypeError: If a part cannot run on tiles.
        ValueError: If its options cannot.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        shortcut: Optional[Sequence[Step]] = None,
        act: Optional[nn.Module] = None,
    ) -> None:
        self.steps = list(steps)
        self.shortcut = None if shortcut is None else list(shortcut)
        self.act = act
        nonnegative = False
        for step in (*self.steps, *(shortcut or ())):
            step.check(nonnegative)
            nonnegative = isinstance(step.act, (nn.ReLU, nn.ReLU6))
        if self.shortcut and len(self.shortcut) > 1:
            raise ValueError(
                'the shortcut of a gated block must be one convolution, got '
                f'{len(self.shortcut)} steps'
            )
        self.geometries: Tuple[Geometry, ...] = tuple(
            step.geometry for step in self.steps
        )
        self._folded: List[Folded] = []
        self._key: Tuple = ()
        self._crops: Dict[TilePlan, Tuple[int, int, int, int]] = {}
        self._levels: Dict[TilePlan, List[TilePlan]] = {}
        self._macs: Dict[Tuple[TilePlan, bool], Tuple[int, int]] = {}

    def plan(self, size: Pair, patch: Pair, device: torch.device) -> TilePlan:
        """Where its tiles lie on an input of this size."""
        plan = tile_plan(tuple(size), self.geometries, patch, device)
        if self.shortcut is not None and plan not in self._crops:
            self._crops[plan] = self._crop(plan)
        return plan

    def version(self) -> Tuple:
        """Differs from an earlier one if any weight has changed since."""
        key = tuple(
            (
                tensor.data_ptr(),
                0 if tensor.is_inference() else tensor._version,
            )
            for step in (*self.steps, *(self.shortcut or ()))
            for tensor in step.tensors()
        )
        if key != self._key:
            steps = (*self.steps, *(self.shortcut or ()))
            self._folded = [step.folded() for step in steps]
            self._key = key
        return key

    def run(
        self,
        x: Tensor,
        plan: TilePlan,
        index: TileIndex,
        hidden: Sequence[Tensor] = (),
    ) -> Tensor:
        """Outputs of some patches.

        Args:
            x (Tensor): Input map, :math:`(B, C, H, W)`.
            plan (TilePlan): Of this chain and size.
            index (TileIndex): The n patches.
            hidden (Sequence[Tensor]): The maps between the operations, see
                :meth:`dense`; what the patches own is computed anew, in
                place, what they need beyond that is read. Defaults to ():
                there are none, and halos are computed.

        Returns:
            Tensor: :math:`(n, C_{out}, h, w)`.
        """
        if hidden:
            return self._run_cached(x, plan, index, hidden)
        window = tiles = gather_tiles(x, plan, index)
        last = len(self.steps) - 1
        for level, step in enumerate(self.steps):
            tiles = step.on_tiles(tiles, self._folded[level])
            if level < last and plan.between[level] is not None:
                # A later operation pads with zeros, not with what the
                # earlier ones make of zeros.
                tiles = tiles.contiguous(memory_format=torch.channels_last)
                zero_outside(as_rows(tiles), index, plan.between[level])
        if self.shortcut is not None:
            tiles += self._shortcut(window, plan)
        return activate_(tiles, self.act)

    def _run_cached(
        self,
        x: Tensor,
        plan: TilePlan,
        index: TileIndex,
        hidden: Sequence[Tensor],
    ) -> Tensor:
        *levels, short = self._levels_of(plan)
        source = x
        for number, (step, level) in enumerate(zip(self.steps, levels)):
            tiles = gather_tiles(source, level, index)
            tiles = step.on_tiles(tiles, self._folded[number])
            if number < len(hidden):
                source = hidden[number]
                scatter_tiles(source, tiles, level, index)
        if self.shortcut is not None:
            read = gather_tiles(x, short, index)
            if self.shortcut:
                step = self.shortcut[0]
                read = step.on_tiles(read, self._folded[len(self.steps)])
            tiles += read
        return activate_(tiles, self.act)

    def dense(self, x: Tensor) -> Tuple[Tensor, List[Tensor]]:
        """The whole output, and the maps between the operations.

        Args:
            x (Tensor): :math:`(B, C, H, W)`.

        Returns:
            tuple[Tensor, list[Tensor]]: Channels-last, the latter one fewer
            than there are operations.
        """
        maps = [x]
        for step, folded in zip(self.steps, self._folded):
            out = step.on_map(maps[-1], folded)
            maps.append(out.contiguous(memory_format=torch.channels_last))
        out = maps.pop()
        if self.shortcut is not None:
            if self.shortcut:
                step = self.shortcut[0]
                x = step.on_map(x, self._folded[len(self.steps)])
            out += x
        return activate_(out, self.act), maps[1:]

    def _levels_of(self, plan: TilePlan) -> List[TilePlan]:
        """A plan of its own for each operation, and for the shortcut."""
        if plan not in self._levels:
            last = self.shortcut[0].geometry if self.shortcut else IDENTITY
            levels = [*enumerate(self.geometries), (0, last)]
            self._levels[plan] = [
                tile_plan(
                    *(plan.maps[level], (geometry,), plan.steps[level]),
                    *(plan.device, plan.grid),
                )
                for level, geometry in levels
            ]
        return self._levels[plan]

    def _shortcut(self, window: Tensor, plan: TilePlan) -> Tensor:
        top, left, height, width = self._crops[plan]
        crop = window[:, :, top : top + height, left : left + width]
        if not self.shortcut:
            return crop
        step = self.shortcut[0]
        return step.on_tiles(crop, self._folded[len(self.steps)])

    def _crop(self, plan: TilePlan) -> Tuple[int, int, int, int]:
        """What the shortcut reads of a window: top, left, height, width."""
        first, length = [], []
        for axis in (0, 1):
            start, size = 0, plan.out_patch[axis]
            if self.shortcut:
                geometry = self.shortcut[0].geometry
                start = -geometry.before[axis]
                size = (size - 1) * geometry.stride[axis]
                size += geometry.reach(axis)
            first.append(start - plan.starts[0][axis])
            length.append(size)
            if not 0 <= first[axis] <= plan.tiles[0][axis] - size:
                raise ValueError(
                    'the shortcut of a gated block must not read more of the '
                    'input than its main path'
                )
        return (*first, *length)

    def macs(self, plan: TilePlan, cached: bool = False) -> Tuple[int, int]:
        """Multiply-adds of the dense layer, and of one patch.

        Args:
            plan (TilePlan): Of this chain and size.
            cached (bool): Whether a patch computes no more than it owns.
                Defaults to False: it computes its halo, too.
        """
        key = (plan, cached)
        if key not in self._macs:
            self._macs[key] = self._count(plan, cached)
        return self._macs[key]

    def _count(self, plan: TilePlan, cached: bool) -> Tuple[int, int]:
        dense = tile = 0
        sizes = plan.steps if cached else plan.tiles
        for level, step in enumerate(self.steps, 1):
            dense += step.macs(plan.maps[level][0] * plan.maps[level][1])
            tile += step.macs(sizes[level][0] * sizes[level][1])
        for step in self.shortcut or ():
            dense += step.macs(plan.maps[-1][0] * plan.maps[-1][1])
            tile += step.macs(plan.out_patch[0] * plan.out_patch[1])
        return dense, tile
