# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What one gated layer remembers of the streams of a batch."""

from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from .layer_stats import LayerStats

#: A dense layer asks its gate again after at most so many frames.
LONGEST_WAIT = 4


class LayerMemory:
    """References and cached outputs of several streams, one row each.

    Args:
        ref (Tensor, optional): :math:`(B, C, H, W)`, channels-last.
        out (Tensor, optional): :math:`(B, C_{out}, H_{out}, W_{out})`,
            channels-last.
        hidden (Sequence[Tensor]): Maps between the operations of the layer,
            if they are cached. Defaults to ().
    """

    def __init__(
        self,
        ref: Optional[Tensor] = None,
        out: Optional[Tensor] = None,
        hidden: Sequence[Tensor] = (),
    ) -> None:
        self.ref = ref
        self.out = out
        self.hidden = list(hidden)
        self.version = 0

    @property
    def cached(self) -> List[Tensor]:
        """What was computed, and is kept."""
        return [] if self.out is None else [self.out, *self.hidden]

    def hand_out(self) -> Tensor:
        """The output itself: who changes it is found out next time."""
        self.version = self.out._version
        return self.out

    @property
    def spoilt(self) -> bool:
        """Whether somebody has changed the output since."""
        return self.out is not None and self.out._version != self.version


class Slot:
    """The place of one stream in the memory of one layer.

    Args:
        memory (LayerMemory): Shared with the streams of the same batch.
        row (int): Of this stream.
    """

    def __init__(self, memory: LayerMemory, row: int) -> None:
        self.memory = memory
        self.row = row
        #: Input and weights that the cache belongs to.
        self.key: Tuple[Any, ...] = ()
        self.stats = LayerStats()
        #: Frames in a row that were dense, and those until the next look.
        self.streak = 0
        self.wait = 0
        #: Whether consumers change outputs, which then are copied.
        self.copies = False

    def delay(self) -> None:
        """After a dense frame: how long not to ask the gate."""
        self.wait = min(self.streak, LONGEST_WAIT)
        self.streak += 1

    def copy(self) -> 'Slot':
        """With tensors of its own."""
        ref, out, *hidden = (
            None if t is None else t[self.row : self.row + 1].clone()
            for t in (self.memory.ref, self.memory.out, *self.memory.hidden)
        )
        slot = Slot(LayerMemory(ref, out, hidden), 0)
        if out is not None:
            slot.memory.hand_out()
        slot.key, slot.copies = self.key, self.copies
        slot.streak, slot.wait = self.streak, self.wait
        slot.stats = LayerStats(**vars(self.stats))
        return slot


def join_slots(
    slots: Sequence[Optional[Slot]], x: Tensor, dtype: torch.dtype
) -> Tuple[LayerMemory, List[Slot], List[bool]]:
    """One memory for the streams of a batch, in its order.

    Nothing is copied while the batch stays as it is.

    Args:
        slots (Sequence[Slot | None]): One per stream; None for a new one.
        x (Tensor): Input of the layer, :math:`(B, C, H, W)`.
        dtype (torch.dtype): Of references.

    Returns:
        tuple[LayerMemory, list[Slot], list[bool]]: The memory, the slot of
        each stream, and whether what it remembers is of use.
    """
    known = [slot for slot in slots if slot is not None]
    if len(known) == len(slots):
        memory = known[0].memory
        if _same(memory.ref, x, dtype) and all(
            slot.memory is memory and slot.row == row
            for row, slot in enumerate(known)
        ):
            return memory, known, [not memory.spoilt] * len(known)
    # Someone has joined, left or moved: rows are copied together.
    fits = [
        slot is not None
        and _same(slot.memory.ref, x, dtype, batch=False)
        and not slot.memory.spoilt
        for slot in slots
    ]
    kept = [s.memory.cached for s, fit in zip(slots, fits) if fit]
    ref, cached = None, [None]
    shapes = [[tensor.shape[1:] for tensor in tensors] for tensors in kept]
    if kept and all(found == shapes[0] for found in shapes):
        ref = torch.empty_like(
            x, dtype=dtype, memory_format=torch.channels_last
        )
        cached = [
            t.new_zeros(len(slots), *t.shape[1:]).contiguous(
                memory_format=torch.channels_last
            )
            for t in kept[0]
        ]
        for row, (slot, fit) in enumerate(zip(slots, fits)):
            if fit:
                ref[row] = slot.memory.ref[slot.row]
                for target, source in zip(cached, slot.memory.cached):
                    target[row] = source[slot.row]
            else:
                ref[row] = x[row]
    else:
        fits = [False] * len(slots)
    memory = LayerMemory(ref, cached[0], cached[1:])
    joined = []
    for row, slot in enumerate(slots):
        slot = slot or Slot(memory, row)
        slot.memory, slot.row = memory, row
        joined.append(slot)
    if memory.out is not None:
        memory.hand_out()
    return memory, joined, fits


def _same(
    ref: Optional[Tensor], x: Tensor, dtype: torch.dtype, batch: bool = True
) -> bool:
    """Whether a reference could be one of this input."""
    return (
        ref is not None
        and ref.shape[1 - batch :] == x.shape[1 - batch :]
        and ref.dtype == dtype
        and ref.device == x.device
    )
