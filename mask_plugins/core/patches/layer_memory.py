# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What one gated layer remembers of the streams of a batch."""

from dataclasses import dataclass, field, replace
from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from mask_plugins.native.pixel_changes import PixelChanges

from .geometry import Pair
from .layer_stats import LayerStats

#: A dense layer asks its gate again after at most so many frames.
LONGEST_WAIT = 4


class LayerMemory:
    """References and cached outputs of several streams, one row each.

    Args:
        ref (Tensor): What is kept of the inputs, :math:`(B, C, H, W)`; it is
            copied, channels-last.
    """

    def __init__(self, ref: Tensor) -> None:
        self.ref = ref.clone(memory_format=torch.channels_last)
        #: The output, and the maps between the operations if they are cached.
        self.cached: List[Tensor] = []
        self._version = 0
        #: Patches that the last frame has computed, bool, (B, G_h, G_w), and
        #: their size in the output; None: all of them.
        self.computed: Optional[Tensor] = None
        self.out_patch = (1, 1)
        #: How many frames have gone through.
        self.frames = 0
        self._changes: Optional[PixelChanges] = None
        #: Whose output was compared last, and after how many frames.
        self._compared: Tuple[Optional[LayerMemory], int] = None, 0

    @property
    def out(self) -> Tensor:
        """The output, :math:`(B, C_{out}, H_{out}, W_{out})`."""
        return self.cached[0]

    def remember(self, rows: Sequence[int], ref: Tensor) -> None:
        """Replace the references of some rows."""
        if len(rows) == len(self.ref):
            self.ref.copy_(ref)
        else:
            self.ref[rows] = ref[rows]

    def store(self, rows: Sequence[int], computed: Sequence[Tensor]) -> None:
        """Replace what is cached of some rows."""
        if len(rows) == len(self.ref):
            last = torch.channels_last
            self.cached = [t.contiguous(memory_format=last) for t in computed]
        else:
            for target, source in zip(self.cached, computed):
                target[rows] = source.to(target)

    def changes(
        self, size: torch.Size, source: Optional['LayerMemory']
    ) -> Optional[PixelChanges]:
        """What is known of the change of the input; called when it is asked.

        What a layer has not computed again is what it was one frame before,
        and so is its change, unless the reference is another one.

        Args:
            size (torch.Size): Of the input, :math:`(B, C, H, W)`.
            source (LayerMemory, optional): That the input is the output of.

        Returns:
            PixelChanges | None: None where nothing can be known.
        """
        last, frames = self._compared
        self._compared = source, source.frames if source else 0
        if source is None:
            return None
        pixels = size[0], *size[2:]
        if self._changes is None or self._changes.values.shape != pixels:
            values = torch.empty(pixels, dtype=torch.float32)
            self._changes = PixelChanges(values)
        known = self._changes
        follows = last is source and frames + 1 == source.frames
        follows, known.written = follows and known.written, False
        known.stale = self.computed if follows else None
        known.changed, known.pitch = source.computed, source.out_patch
        return known

    def done(self, computed: Optional[Tensor], out_patch: Pair) -> None:
        """Note which patches a frame has computed; None: all of them."""
        self.computed = None if computed is None else computed.contiguous()
        self.out_patch = out_patch
        self.frames += 1

    def share(self) -> Tensor:
        """Return the cached output without a copy.

        In-place changes by the caller are detected on the next frame.
        """
        self._version = self.out._version
        return self.out

    @property
    def modified(self) -> bool:
        """Whether the output was modified in place by a consumer."""
        return bool(self.cached) and self.out._version != self._version

    def suits(self, ref: Tensor, rows: bool = False) -> bool:
        """Whether what is remembered can be of use for this input."""
        ours, theirs = (
            (t.shape[0 if rows else 1 :], t.dtype, t.device)
            for t in (self.ref, ref)
        )
        return bool(self.cached) and not self.modified and ours == theirs

    def change_bytes(self) -> int:
        """Bytes of what is known of changes, of one stream."""
        return self._changes.values[0].nbytes if self._changes else 0

    def rows(self, row: int) -> List[Tensor]:
        """Views of the reference and of all that is cached of one stream."""
        return [t[row : row + 1] for t in (self.ref, *self.cached)]


@dataclass(eq=False)
class Slot:
    """The place of one stream in the memory of one layer.

    Args:
        memory (LayerMemory, optional): Shared with the streams of the same
            batch.
        row (int): Of this stream.
        key (tuple): Input and weights that the cache belongs to.
        stats (LayerStats): Totals.
        streak (int): Frames in a row that were dense.
        wait (int): Frames until the gate is asked again.
        waited (int): Frames since it was asked.
        copies (bool): Whether consumers change outputs, which then are
            copied.
    """

    memory: Optional[LayerMemory] = None
    row: int = 0
    key: Tuple[Any, ...] = ()
    stats: LayerStats = field(default_factory=LayerStats)
    streak: int = 0
    wait: int = 0
    waited: int = 0
    copies: bool = False

    def asked(self, dense: bool) -> None:
        """After the gate was asked: how long not to ask again."""
        self.wait = min(self.streak, LONGEST_WAIT) if dense else 0
        self.waited = 0
        self.streak = self.streak + 1 if dense else 0

    def tensors(self) -> List[Tensor]:
        """The reference and all that is cached of this stream."""
        return [] if self.memory is None else self.memory.rows(self.row)

    def copy(self) -> 'Slot':
        """With tensors of its own."""
        twin = replace(self, stats=replace(self.stats), row=0)
        if self.memory is not None:
            ref, *cached = self.tensors()
            twin.memory = LayerMemory(ref)
            if cached:
                twin.memory.store([0], [tensor.clone() for tensor in cached])
                twin.memory.share()
        return twin


def join_slots(slots: Sequence[Slot], ref: Tensor) -> List[bool]:
    """Give the streams of a batch one memory, in its order.

    Nothing is copied while the batch stays as it is.

    Args:
        slots (Sequence[Slot]): One per stream; changed.
        ref (Tensor): What would be kept of the input, :math:`(B, C, H, W)`.

    Returns:
        list[bool]: Whether what is remembered of each stream is of use.
    """
    memory = slots[0].memory
    same = all(s.memory is memory and s.row == n for n, s in enumerate(slots))
    if memory is not None and same and memory.suits(ref, rows=True):
        return [True] * len(slots)
    # A stream has joined, left or moved: rows are copied together.
    fits = [s.memory is not None and s.memory.suits(ref) for s in slots]
    kept = [slot.tensors()[1:] for slot, fit in zip(slots, fits) if fit]
    if len({tuple(tensor.shape for tensor in row) for row in kept}) > 1:
        fits, kept = [False] * len(slots), []
    memory = LayerMemory(ref)
    if kept:
        blank = [t.new_zeros(len(slots), *t.shape[1:]) for t in kept[0]]
        memory.store(range(len(slots)), blank)
    for row, (slot, fit) in enumerate(zip(slots, fits)):
        if fit:
            for target, source in zip(memory.rows(row), slot.tensors()):
                target.copy_(source)
        slot.memory, slot.row = memory, row
    if kept:
        memory.share()
    return fits
