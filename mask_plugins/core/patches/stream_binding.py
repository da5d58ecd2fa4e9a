# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One call of a model on one frame of each stream of a batch."""

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from mask_plugins.utils.compat_torch import autocast_dtype

from .layer_memory import LayerMemory, Slot, join_slots
from .stream_state import StreamState
from .tile_plan import TilePlan
from .tiles import CHANNELS_LAST, TileIndex, copy_patches


@dataclass
class StreamWork:
    """What one layer has to do for one stream.

    Args:
        slot (Slot): Where the stream is remembered.
        refresh (bool): Whether nothing that is remembered may be used.
        dense (bool): Whether all patches are computed, by the dense layer.
        active (Tensor, optional): Patches to compute otherwise, bool,
            :math:`(G_h, G_w)`.
        count (int): How many these are.
    """

    slot: Slot
    refresh: bool
    dense: bool = True
    active: Optional[Tensor] = None
    count: int = 0

    def record(self, layer, plan: TilePlan, channels: int) -> None:
        """Add the frame to the totals of the stream."""
        stats = self.slot.stats
        dense_macs, tile_macs = layer.chain.macs(plan)
        count = plan.patches if self.dense else self.count
        macs = dense_macs if self.dense else count * tile_macs
        asked = self.active is not None
        gate = layer.gate.macs(channels, plan.window) if asked else 0
        stats.frames += 1
        stats.dense_frames += self.dense
        stats.patches += plan.patches
        stats.skipped_patches += plan.patches - count
        stats.macs += dense_macs
        stats.gate_macs += gate
        stats.skipped_macs += dense_macs - macs - gate
        stats.active = plan.all_active if self.dense else self.active


class StreamBinding:
    """What the gated layers of a model are bound to for one frame.

    Args:
        states (Sequence[StreamState]): One per sample of the batch.
        execution (str): See :meth:`StreamBinder.bind`.
    """

    def __init__(self, states: Sequence[StreamState], execution: str) -> None:
        self.states = states
        self.execution = execution
        self._begun = False
        #: Outputs of layers of this frame by id, and who made them.
        self._made: Dict[int, Tuple[Tensor, LayerMemory]] = {}

    def __call__(self, layer, x: Tensor) -> Tensor:
        """Compute what is active, and what must be refreshed.

        Args:
            layer (GatedLayer): The layer, bound.
            x (Tensor): Its input, :math:`(B, C, H, W)`, B streams.

        Returns:
            Tensor: The cached output of the layer, or a copy of it.

        Raises:
            ValueError: If the batch does not have one sample per state.
        """
        # Tensors of inference mode have no version, by which a change of a
        # cache from outside is detected. Leaving it switches gradients on.
        with torch.inference_mode(False), torch.no_grad():
            x = x.clone() if x.is_inference() else x
            # The caches are of this dtype, too.
            x = x.to(autocast_dtype(x.device.type) or x.dtype)
            if len(self.states) != len(x):
                sizes = f'{len(x)}, got {len(self.states)}'
                raise ValueError(f'states: one state per sample, {sizes}')
            if not self._begun:
                # The first layer sees the frame, or what is closest to it.
                for state, image in zip(self.states, x):
                    state.begin(image)
                self._begun = True
            if layer.gate.computes_all or self.execution == 'dense':
                return layer.dense(x)
            layer.update_chain()
            x = x.contiguous(memory_format=CHANNELS_LAST)
            plan = layer.plan(x)
            works = self._open(layer, x)
            wait = all(work.slot.wait and not work.refresh for work in works)
            if self.execution == 'auto' and wait:
                # The memory stays as it was: reference and output fit.
                for work in works:
                    work.slot.wait -= 1
                    work.slot.waited += 1
                    work.record(layer, plan, x.shape[1])
                return layer.whole(x)[0]
            active, computed = self._decide(layer, x, plan, works)
            for work in works:
                work.record(layer, plan, x.shape[1])
            out = self._compute(layer, x, plan, works, active, computed)
            return out.clone() if any(w.slot.copies for w in works) else out

    def _open(self, layer, x: Tensor) -> List[StreamWork]:
        """Look up what is remembered of each stream."""
        key = (
            *(x.shape[1:], x.dtype, x.device),
            autocast_dtype(x.device.type),
            layer.chain.version(),
        )
        slots = [s.slots.setdefault(layer._name, Slot()) for s in self.states]
        for slot in slots:
            # Consumers that change outputs in place get copies from now on.
            slot.copies |= slot.memory is not None and slot.memory.modified
        useful = join_slots(slots, layer.gate.reference_of(x))
        works = []
        for state, slot, use in zip(self.states, slots, useful):
            refresh = not use or state.refreshing or slot.key != key
            works.append(StreamWork(slot, refresh))
            slot.key = key
        return works

    def _decide(
        self, layer, x: Tensor, plan: TilePlan, works: List[StreamWork]
    ) -> Tuple[Optional[Tensor], Optional[Tensor]]:
        """Ask the gate; fill in what is to be done.

        Returns:
            tuple[Tensor | None]: Patches that the gate calls active and those
            that are computed on tiles, bool, :math:`(B, G_h, G_w)`; None if
            all streams are refreshed.
        """
        if all(work.refresh for work in works):
            for work in works:
                work.slot.asked(dense=False)
            return None, None
        memory: LayerMemory = works[0].slot.memory
        known = None
        if layer.gate.compares and x.device.type == 'cpu':
            known = memory.changes(x.shape, self._maker(x))
        active = layer.decide(x, memory.ref, plan, known)  # B, Gh, Gw
        if active.dtype is not torch.bool:
            active = active > 0.5
        for row, (state, work) in enumerate(zip(self.states, works)):
            if work.refresh:
                active[row] = False
            elif layer.gate.ages and state.refresh_every:
                active[row] |= state.due(plan, work.slot.waited)
        held = layer.reuse == 'input'
        computed = plan.spread(active) if held else active
        limit = plan.patches
        if self.execution == 'auto':
            limit *= layer.break_even_of(plan)
        counts = computed.flatten(1).sum(1).tolist()
        for row, (work, count) in enumerate(zip(works, counts)):
            if not work.refresh:
                work.active, work.count = computed[row], count
                work.dense = count > limit
            work.slot.asked(work.dense and not work.refresh)
        return active, computed

    def _maker(self, x: Tensor) -> Optional[LayerMemory]:
        """The memory of the layer whose output this is, as it left it."""
        memory = self._made.get(id(x), (None, None))[1]
        return None if memory is None or memory.modified else memory

    def _compute(self, layer, x, plan, works, active, computed) -> Tensor:
        """The cached output, with what has to be computed in its place."""
        memory: LayerMemory = works[0].slot.memory
        held = layer.reuse == 'input'
        dense = [row for row, work in enumerate(works) if work.dense]
        if held:
            whole = [row for row, work in enumerate(works) if work.refresh]
            if whole:
                memory.remember(whole, x)
            if active is not None:
                copy_patches(memory.ref, x, plan, TileIndex.of(active))
        source = memory.ref if held else x  # B, C, H, W
        if dense:
            every = len(dense) == len(works)
            out, hidden = layer.whole(source if every else source[dense])
            memory.store(dense, [out, *hidden])
            if not held:
                memory.remember(dense, layer.gate.reference_of(x))
        if len(dense) < len(works):
            tiles = computed
            if dense:
                tiles, computed[dense] = computed.clone(), True
                tiles[dense] = False
            index = TileIndex.of(tiles)
            if len(index):
                layer.chain.update(source, plan, index, memory.cached)
                if not held:
                    copy_patches(memory.ref, x, plan, index)
        memory.done(
            None if len(dense) == len(works) else computed, plan.out_patch
        )
        out = memory.share()
        self._made[id(out)] = out, memory
        return out
