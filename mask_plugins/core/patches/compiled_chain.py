# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A chain by the compiled kernels: maps are read and written in place."""

from ctypes import CDLL
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from mask_plugins.native.patch_conv import PatchConv
from mask_plugins.native.tiles import Tiles
from mask_plugins.utils.compat_torch import autocast_dtype

from .step import Folded, Step
from .tile_plan import TilePlan
from .tiles import CHANNELS_LAST, TileIndex


class CompiledChain:
    """The operations of a chain for the kernels, with packed weights.

    Args:
        chain (Chain): The chain.
        folded (Sequence[Folded]): Weights of its steps and its shortcut.
        lib (CDLL): Of :func:`mask_plugins.native.library`.
        dtype (torch.dtype): Of the maps. Weights of another one are rounded
            to it, as autocast does.
    """

    def __init__(
        self, chain, folded: Sequence[Folded], lib: CDLL, dtype: torch.dtype
    ) -> None:
        self._chain, self.dtype = chain, dtype
        self._tiles: Dict[Tuple[TilePlan, bool], List[Tiles]] = {}
        weights = [f.weight for f in folded if f.weight is not None]
        self._dtypes = {weight.dtype for weight in weights}
        acts = [step.act for step in chain.all_steps]
        if chain.act is not None:  # after the addition
            acts[len(chain.steps) - 1] = chain.act
        ends = chain.steps[-1:] if chain.shortcut is not None else []
        names = [_activation(act) for act in acts]
        #: One per operation; empty if the kernels cannot compute one.
        self._convs: List[PatchConv] = []
        if None not in names and not any(
            step.act for step in [*ends, *(chain.shortcut or ())]
        ):
            self._convs = [
                _pack(lib, dtype, *parts)
                for parts in zip(chain.all_steps, folded, names)
            ]

    def run(
        self,
        x: Tensor,
        plan: TilePlan,
        index: TileIndex,
        cached: Sequence[Tensor],
    ) -> bool:
        """Compute some patches: see :meth:`Chain.update`.

        Returns:
            bool: False, and nothing done, if the kernels cannot.
        """
        out, *hidden = cached
        chain, numbers, size = self._chain, index.numbers(plan), plan.maps[-1]
        residual = None if chain.shortcut is None else x
        added = residual is None or chain.shortcut or x.shape == out.shape
        cast = autocast_dtype('cpu')
        dtypes = {cast} if cast else self._dtypes
        if not (self._convs and added and dtypes == {x.dtype}) or not all(
            t.is_contiguous(memory_format=CHANNELS_LAST) for t in (x, *cached)
        ):
            return False
        levels = chain.levels(plan)
        for conv, step, level in zip(self._convs, chain.all_steps, levels):
            if step.geometry.same:  # its padding follows from the size
                conv.pad([-start for start in level.starts[0]])
        *tiles, short = self._tiles_of(plan, bool(hidden))
        if chain.shortcut:
            self._convs[-1](x, out, short, numbers, size)
            residual = out
        last = len(chain.steps) - 1
        for level, conv in enumerate(self._convs[:last]):
            if hidden:
                target = hidden[level]
            else:
                channels = conv.outputs or x.shape[1]
                shape = (len(index), channels, *plan.tiles[level + 1])
                target = torch.empty(
                    shape, dtype=x.dtype, memory_format=CHANNELS_LAST
                )
            conv(x, target, tiles[level], numbers, plan.maps[level + 1])
            x = target
        self._convs[last](x, out, tiles[last], numbers, size, residual)
        return True

    def _tiles_of(self, plan: TilePlan, hidden: bool) -> List[Tiles]:
        """Of the output of each operation, then of the shortcut."""
        key = plan, hidden
        if key not in self._tiles:
            levels = self._chain.levels(plan)
            found = [Tiles(plan.grid, level.steps[-1]) for level in levels]
            last = len(levels) - 2
            if not hidden:
                for level in range(last + 1):
                    at = level + 1
                    found[level] = Tiles(
                        *(plan.grid, plan.steps[at], plan.starts[at]),
                        *(plan.tiles[at], level > 0, level < last),
                    )
            self._tiles[key] = found
        return self._tiles[key]


def _activation(act: Optional[nn.Module]) -> Optional[str]:
    """Its name for the kernels; None if they do not have it."""
    for name, kind in (('none', type(None)), ('relu', nn.ReLU)):
        if isinstance(act, kind):
            return name
    return 'relu6' if isinstance(act, nn.ReLU6) else None


def _pack(
    lib: CDLL, dtype: torch.dtype, step: Step, folded: Folded, activation: str
) -> PatchConv:
    """The operation of a step for the kernels."""
    weights = (
        None if tensor is None else tensor.to(dtype)
        for tensor in (folded.weight, folded.bias)
    )
    groups = 1 if step.pools else step.op.groups
    return PatchConv(lib, *step.geometry[:4], *weights, groups, activation)
