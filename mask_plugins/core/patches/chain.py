# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A chain of operations, with or without a shortcut, that runs on tiles."""

import math
from typing import Dict, List, Optional, Sequence, Set, Tuple

import torch
from torch import Tensor, nn

from mask_plugins.native import library_for

from .compiled_chain import CompiledChain
from .geometry import Geometry, Pair
from .step import Folded, Step, activate_
from .tile_plan import TilePlan, tile_plan
from .tiles import TileIndex, gather_tiles, scatter_tiles, zero_outside


class Chain:
    """Operations on tiles: one gather, all of them, one scatter; or each.

    The maps between the operations may exist on tiles alone, where each tile
    also computes what its neighbors need of them; or they are cached like
    the output: no pixel is computed twice, so that small tiles cost hardly
    more than large ones.

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

    Examples:
        >>> from .tiles import TileIndex
        >>> conv = nn.Conv2d(1, 1, 3, padding=1)
        >>> chain = Chain([Step(conv, act=nn.ReLU())])
        >>> plan = chain.plan((8, 8), (4, 4), torch.device('cpu'))
        >>> plan.grid, plan.window.before
        ((2, 2), (1, 1))
    """

    def __init__(
        self,
        steps: Sequence[Step],
        shortcut: Optional[Sequence[Step]] = None,
        act: Optional[nn.Module] = None,
    ) -> None:
        self.steps = list(steps)
        self.shortcut = None if shortcut is None else list(shortcut)
        self.act = Step(steps[0].op, act=act).act  # checked
        #: Whether maps between the operations are cached.
        self.cached = False
        #: Kinds of maps on which the layer's own forward agreed.
        self.agreed: Set[Tuple] = set()
        for before, step in zip([None, *self.steps], self.steps):
            # Tiles are zero outside of the map where a pool has -inf.
            after_relu = before and isinstance(before.act, nn.ReLU)
            if step.pools and max(step.geometry.before) and not after_relu:
                raise ValueError('a padded MaxPool2d must follow a ReLU')
        #: Those of the main path, then that of the shortcut.
        self.all_steps = [*self.steps, *(self.shortcut or ())]
        self.geometries = tuple(step.geometry for step in self.steps)
        self._folded: List[Folded] = []
        self._seen: List[Tuple[Tensor, Tuple]] = []
        self._compiled: Optional[CompiledChain] = None
        self._version = 0
        self._plans: Dict[Tuple[Pair, Pair, torch.device], TilePlan] = {}
        self._levels: Dict[TilePlan, List[TilePlan]] = {}
        self._macs: Dict[Tuple[TilePlan, bool], Tuple[int, int]] = {}

    def plan(self, size: Pair, patch: Pair, device: torch.device) -> TilePlan:
        """Where its tiles lie on an input of this size."""
        key = tuple(size), patch, device
        if key not in self._plans:
            self._plans[key] = self._plan(*key)
        return self._plans[key]

    def _plan(self, size: Pair, patch: Pair, device: torch.device) -> TilePlan:
        geometries, at = [], size
        for geometry in self.geometries:
            geometries.append(geometry.at(at))
            at = geometry.out_size(at)
        plan = tile_plan(size, tuple(geometries), patch, device)
        if plan not in self._levels:
            last = self.shortcut[0].geometry if self.shortcut else Geometry()
            levels = [*enumerate(geometries), (0, last.at(size))]
            self._levels[plan] = plans = [
                tile_plan(
                    *(plan.maps[level], (geometry,), plan.steps[level]),
                    *(plan.device, plan.grid),
                )
                for level, geometry in levels
            ]
            if self.shortcut and not plan.window.covers(plans[-1].window):
                raise ValueError('the shortcut reads more than the main path')
        return plan

    def levels(self, plan: TilePlan) -> List[TilePlan]:
        """Plans of each operation alone, then of the shortcut."""
        return self._levels[plan]

    def tensors(self) -> List[Tensor]:
        """Weights and statistics that the output depends on."""
        return [t for step in self.all_steps for t in step.tensors()]

    def version(self) -> int:
        """A number that changes when a weight does; folds what has changed.

        A weight that is computed for each call, such as a masked one, is
        compared by value.
        """
        now = [(tensor, _state(tensor)) for tensor in self.tensors()]
        if len(now) != len(self._seen) or any(
            state != old_state and not _recomputed(old, tensor)
            for (old, old_state), (tensor, state) in zip(self._seen, now)
        ):
            self._folded = [step.folded() for step in self.all_steps]
            self._compiled = None
            self._version += 1
        self._seen = now
        return self._version

    def update(
        self,
        x: Tensor,
        plan: TilePlan,
        index: TileIndex,
        cached: Sequence[Tensor],
    ) -> None:
        """Compute some patches of what is cached, in place.

        Args:
            x (Tensor): Input map, :math:`(B, C, H, W)`.
            plan (TilePlan): Of this chain and size.
            index (TileIndex): The n patches.
            cached (Sequence[Tensor]): The output and, if they are cached, the
                maps between the operations, all channels-last.
        """
        lib = library_for(x, *cached)
        if lib is not None:
            compiled = self._compiled
            if compiled is None or compiled.dtype is not x.dtype:
                weights = self._folded, lib, x.dtype
                self._compiled = CompiledChain(self, *weights)
            if self._compiled.run(x, plan, index, cached):
                return
        tiles = self.run(x, plan, index, cached[1:])
        scatter_tiles(cached[0], tiles, plan, index)

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
                :meth:`dense`; what the patches own is computed again, in
                place, what they need beyond that is read. Defaults to ():
                there are none, and halos are computed.

        Returns:
            Tensor: :math:`(n, C_{out}, h, w)`.
        """
        *levels, short = self.levels(plan)
        tiles = gather_tiles(x, levels[0] if hidden else plan, index)
        last = len(self.steps) - 1
        for level, step in enumerate(self.steps):
            tiles = step.on_tiles(tiles, self._folded[level])  # n, C, h, w
            if level == last:
                break
            if hidden:
                scatter_tiles(hidden[level], tiles, levels[level], index)
                tiles = gather_tiles(hidden[level], levels[level + 1], index)
            else:
                # A later operation pads with zeros, not with what the
                # earlier ones make of zeros.
                tiles = tiles.contiguous(memory_format=torch.channels_last)
                zero_outside(tiles, plan.tables[level + 1], index)
        if self.shortcut is not None:
            read = gather_tiles(x, short, index)
            for step in self.shortcut:
                read = step.on_tiles(read, self._folded[-1])
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
            for step in self.shortcut:
                x = step.on_map(x, self._folded[-1])
            out += x
        return activate_(out, self.act), maps[1:]

    def macs(self, plan: TilePlan) -> Tuple[int, int]:
        """Multiply-adds of the dense layer, and of one patch with its halo.

        Where maps are cached, a patch computes no halo.

        Args:
            plan (TilePlan): Of this chain and size.
        """
        key = plan, self.cached
        if key not in self._macs:
            sizes = plan.steps if self.cached else plan.tiles
            levels = [*range(1, len(plan.maps)), -1]  # shortcut: the last
            self._macs[key] = tuple(
                sum(
                    step.macs(math.prod(at[level]))
                    for step, level in zip(self.all_steps, levels)
                )
                for at in (plan.maps, sizes)
            )
        return self._macs[key]


def _state(tensor: Tensor) -> Tuple[int, int]:
    """Changes when a tensor is written to or its storage replaced."""
    return tensor.data_ptr(), (0 if tensor.is_inference() else tensor._version)


def _recomputed(old: Tensor, new: Tensor) -> bool:
    """Whether this is another tensor, made for one call, of equal values."""
    return (
        not isinstance(new, nn.Parameter)
        and new is not old
        and new.dtype is old.dtype
        and new.device == old.device
        and torch.equal(new, old)
    )
