# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One gated layer on one frame of each stream of a batch."""

from typing import List, Optional, Tuple

import torch
from torch import Tensor

from .chain import Chain
from .gates import ConstantGate
from .layer_memory import LayerMemory, Slot, join_slots
from .stream_state import normal_tensors
from .tile_plan import TilePlan
from .tiles import CHANNELS_LAST, TileIndex, copy_patches, scatter_tiles


def run_streams(layer, x: Tensor, binding) -> Tensor:
    """Compute what is active, and what must be refreshed.

    Args:
        layer (GatedLayer): The layer, bound.
        x (Tensor): Its input, :math:`(B, C, H, W)`, B streams.
        binding (StreamBinding): States of the streams.

    Returns:
        Tensor: The cached output of the layer, or a copy of it.

    Raises:
        ValueError: If the batch does not have one sample per state.
    """
    # In this order: leaving inference mode switches gradients on.
    with normal_tensors(), torch.no_grad():
        if x.is_inference():
            x = x.clone()
        return _run(layer, x, binding)


def _run(layer, x: Tensor, binding) -> Tensor:
    states, name = binding.states, layer._name
    if len(states) != len(x):
        raise ValueError(
            f'there must be one state per sample, {len(x)}, got {len(states)}'
        )
    if not binding.begun:
        # The first gated layer sees the frame, or what is closest to it.
        for state, image in zip(states, x):
            state.begin(image)
        binding.begun.append(True)
    gate = layer.gate
    always = isinstance(gate, ConstantGate) and gate.active
    if always or binding.execution == 'dense':
        return layer.dense(x)
    chain = layer.chain
    plan = chain.plan(x.shape[-2:], gate.patch_size, x.device)
    key = (
        *(x.shape[1:], x.dtype, x.device),
        torch.is_autocast_enabled(x.device.type),
        chain.version(),
    )
    x = x.contiguous(memory_format=CHANNELS_LAST)
    slots = [state.slots.get(name) for state in states]
    for slot in slots:
        # Whoever changes outputs in place gets copies from now on.
        if slot is not None and slot.memory.spoilt:
            slot.copies = True
    dtype = torch.bfloat16 if gate.half_reference else x.dtype
    memory, slots, useful = join_slots(slots, gate.reference_of(x), dtype)
    whole = []
    for state, slot, use in zip(states, slots, useful):
        state.slots[name] = slot
        whole.append(not use or state.refreshing or slot.key != key)
        slot.key = key
    if binding.execution == 'auto' and not any(whole):
        if all(slot.wait for slot in slots):
            for slot in slots:
                slot.wait -= 1
                _count(layer, chain, slot, plan, x, None)
            # The memory stays as it was: it is still a pair.
            return _dense(layer, x)[0]
    return _compute(layer, chain, x, binding, plan, memory, slots, whole)


def _compute(
    layer,
    chain: Chain,
    x: Tensor,
    binding,
    plan: TilePlan,
    memory: LayerMemory,
    slots: List[Slot],
    whole: List[bool],
) -> Tensor:
    held = layer.reuse == 'input'
    active = None
    if not all(whole):
        active = layer.decide(x, memory.ref, plan)
        if active.dtype is not torch.bool:
            active = active > 0.5
        for row, refresh in enumerate(whole):
            if refresh:
                active[row] = False
        computed = plan.spread(active) if held else active
        counts = _counts(computed)
        dense = list(whole)
        if binding.execution == 'auto':
            dense = _dense_rows(layer, plan, counts, slots, whole)
    else:
        computed, counts, dense = None, None, list(whole)
    for row, slot in enumerate(slots):
        gated = not whole[row]
        if dense[row]:
            _count(layer, chain, slot, plan, x, None, gated)
        else:
            found = (computed[row], counts[row])
            _count(layer, chain, slot, plan, x, found, gated)
        if not dense[row] or whole[row]:
            slot.wait = slot.streak = 0
    if held and active is not None:
        index = TileIndex.of(active)
        copy_patches(memory.ref, x, plan, index)
    if any(dense):
        _compute_rows(layer, x, memory, dense, whole, held)
    if not all(dense):
        if any(dense):
            computed[dense] = False
        index = TileIndex.of(computed)
        if len(index):
            source = memory.ref if held else x
            tiles = chain.run(source, plan, index, memory.hidden)
            scatter_tiles(memory.out, tiles, plan, index)
            if not held:
                copy_patches(memory.ref, x, plan, index)
    out = memory.hand_out()
    return out.clone() if any(slot.copies for slot in slots) else out


def _counts(computed: Tensor) -> List[int]:
    """Patches to compute of each stream."""
    if len(computed) == 1:
        return [int(computed.count_nonzero())]
    return computed.flatten(1).sum(1).tolist()


def _dense_rows(
    layer, plan: TilePlan, counts: List[int], slots, whole
) -> List[bool]:
    """Streams for which the dense layer is faster, or due."""
    limit = layer.break_even_of(plan) * plan.patches
    dense = []
    for slot, refresh, count in zip(slots, whole, counts):
        over = count > limit
        if over and not refresh:
            slot.delay()
        dense.append(over or refresh)
    return dense


def _compute_rows(
    layer,
    x: Tensor,
    memory: LayerMemory,
    dense: List[bool],
    whole: List[bool],
    held: bool,
) -> None:
    """Compute whole maps of some streams."""
    if all(dense):
        if held and not all(whole):
            for row, refresh in enumerate(whole):
                if refresh:
                    memory.ref[row] = x[row]
            source = memory.ref
        else:
            source = x
            kept = layer.gate.reference_of(x)
            if memory.ref is None:
                half = torch.bfloat16 if layer.gate.half_reference else None
                memory.ref = torch.empty_like(
                    kept, dtype=half, memory_format=CHANNELS_LAST
                )
            memory.ref.copy_(kept)
        out, memory.hidden = _dense(layer, source)
        memory.out = out.contiguous(memory_format=CHANNELS_LAST)
        return
    rows = [row for row, is_dense in enumerate(dense) if is_dense]
    for row in rows:
        if whole[row] or not held:
            memory.ref[row] = layer.gate.reference_of(x)[row]
    source = memory.ref if held else x
    out, hidden = _dense(layer, source[rows])
    memory.out[rows] = out.to(memory.out)
    for target, part in zip(memory.hidden, hidden):
        target[rows] = part.to(target)


def _dense(layer, x: Tensor) -> Tuple[Tensor, List[Tensor]]:
    """Whole output of the layer, and what it caches on the way there."""
    if layer.caches_hidden:
        return layer.chain.dense(x)
    return layer.dense(x), []


def _count(
    layer,
    chain: Chain,
    slot: Slot,
    plan: TilePlan,
    x: Tensor,
    computed: Optional[Tuple[Tensor, int]],
    asked: bool = False,
) -> None:
    """Add one frame to the totals of a stream.

    ``computed`` is which patches and how many, None for all of them.
    """
    stats = slot.stats
    dense_macs, tile_macs = chain.macs(plan, layer.caches_hidden)
    active, done = computed or (plan.all_active, plan.patches)
    gate = layer.gate.macs(x.shape[1], plan.window) if asked else 0
    macs = dense_macs if computed is None else done * tile_macs
    stats.frames += 1
    stats.dense_frames += computed is None
    stats.patches += plan.patches
    stats.skipped_patches += plan.patches - done
    stats.macs += dense_macs
    stats.gate_macs += gate
    stats.skipped_macs += dense_macs - macs - gate
    stats.active = active
