# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A chain of operations, with a shortcut perhaps, that runs on tiles."""

from typing import Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from .geometry import Geometry
from .step import Folded, Step, activate_
from .tile_plan import TilePlan, tile_plan
from .tiles import TileIndex, as_rows, gather_tiles, zero_outside
from .window import Pair


class Chain:
    """Operations fused on tiles: one gather, all of them, one scatter.

    A residual block is a chain with a shortcut; one convolution is a chain of
    one. Normalisations are folded into weights, which are folded again when
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
        self._macs: Dict[TilePlan, Tuple[int, int]] = {}

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

    def run(self, x: Tensor, plan: TilePlan, index: TileIndex) -> Tensor:
        """Outputs of some patches.

        Args:
            x (Tensor): Input map, :math:`(B, C, H, W)`.
            plan (TilePlan): Of this chain and size.
            index (TileIndex): The n patches.

        Returns:
            Tensor: :math:`(n, C_{out}, h, w)`.
        """
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

    def macs(self, plan: TilePlan) -> Tuple[int, int]:
        """Multiply-adds of the dense layer, and of one tile with its halo."""
        if plan not in self._macs:
            self._macs[plan] = self._count(plan)
        return self._macs[plan]

    def _count(self, plan: TilePlan) -> Tuple[int, int]:
        dense = tile = 0
        for level, step in enumerate(self.steps, 1):
            dense += step.macs(plan.maps[level][0] * plan.maps[level][1])
            tile += step.macs(plan.tiles[level][0] * plan.tiles[level][1])
        for step in self.shortcut or ():
            dense += step.macs(plan.maps[-1][0] * plan.maps[-1][1])
            tile += step.macs(plan.out_patch[0] * plan.out_patch[1])
        return dense, tile
