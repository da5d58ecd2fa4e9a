# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is remembered of one video stream."""

import copy
from typing import Dict, Optional

from torch import Tensor

from mask_plugins.utils.checks import check_int, check_number

from .layer_memory import Slot
from .layer_stats import LayerStats
from .rolling_refresh import due_patches
from .tile_plan import TilePlan


class StreamState:
    """References and cached outputs of one stream, for all gated layers.

    It belongs to no module and to no state dict. Every layer refreshes what
    it has here when shape, dtype, device or a weight has changed; the whole
    state is refreshed at scene cuts. In addition every frame computes a share
    of the patches of each layer again, whether they have changed or not.

    Args:
        refresh_every (int): Frames within which every patch is computed
            again, an equal share of them in each frame, except where a gate
            skips only what has not changed. 0 for never. Defaults to 10.
        scene_cut (float): Mean absolute change of a frame, as a fraction of
            its mean absolute deviation, above which it counts as a new
            scene; 0 for never. Defaults to 1.0.

    Raises:
        TypeError: If one is not a number of its kind.
        ValueError: If one is negative or not finite.

    Examples:
        >>> state = StreamState(refresh_every=20)
        >>> state.frame, state.skip_ratio(), state.memory_bytes()
        (0, 0.0, 0)
    """

    #: One pixel in so many, each way, is looked at for scene cuts.
    STRIDE = 8

    def __init__(
        self, refresh_every: int = 10, scene_cut: float = 1.0
    ) -> None:
        self.refresh_every = check_int('refresh_every', refresh_every, 0)
        self.scene_cut = check_number('scene_cut', scene_cut, 0)
        self.reset()

    def reset(self) -> None:
        """Forget the stream; the next frame is computed in full."""
        self.slots: Dict[str, Slot] = {}
        self.frame = 0
        #: Scene cuts seen since the state was made or reset.
        self.scene_cuts = 0
        self.refreshing = False
        self._thumbnail: Optional[Tensor] = None

    def begin(self, image: Tensor) -> None:
        """Look at the input of the network before its layers do.

        Args:
            image (Tensor): The frame, :math:`(C, H, W)`.
        """
        if self.scene_cut:
            step = self.STRIDE
            seen = image.detach()[..., ::step, ::step].float()
            last, self._thumbnail = self._thumbnail, seen.clone()
            if last is not None and last.shape == seen.shape:
                change = (seen - last.to(seen.device)).abs().mean()
                spread = (seen - seen.mean()).abs().mean()
                # ~(<=): a frame that is not finite is a new scene.
                if not bool(change <= self.scene_cut * spread + 1e-12):
                    self.refreshing = True
                    self.scene_cuts += 1

    def due(self, plan: TilePlan, waited: int = 0) -> Tensor:
        """Patches of a layer whose turn it is in this frame.

        Args:
            plan (TilePlan): Of the layer.
            waited (int): Frames before this one in which the layer has kept
                nothing, whose turns are made up for. Defaults to 0.

        Returns:
            Tensor: bool, :math:`(G_h, G_w)`.
        """
        every = self.refresh_every
        frames = self.frame % every, min(waited + 1, every)
        return due_patches(plan.grid, every, *frames, plan.device)

    def end(self) -> None:
        """A frame has gone through the network."""
        self.frame += 1
        self.refreshing = False

    def stats(self) -> Dict[str, LayerStats]:
        """Name of each gated layer -> its totals for this stream."""
        return {name: slot.stats for name, slot in self.slots.items()}

    def skip_ratio(self) -> float:
        """Share of all multiply-adds that were not done, gates included."""
        stats = self.stats().values()
        total = sum(s.macs for s in stats)
        return sum(s.skipped_macs for s in stats) / max(total, 1)

    def memory_bytes(self, first: int = 0) -> int:
        """Bytes of references, their changes and cached outputs."""
        slots = [slot for slot in self.slots.values() if slot.memory]
        held = [t for slot in slots for t in slot.tensors()[first:]]
        extra = 0 if first else sum(s.memory.change_bytes() for s in slots)
        return extra + sum(t.numel() * t.element_size() for t in held)

    def cached_bytes(self) -> int:
        """Bytes of the cached activations, references not included."""
        return self.memory_bytes(first=1)

    def __deepcopy__(self, memo: dict) -> 'StreamState':
        state = copy.copy(self)  # its thumbnail is replaced, never changed
        state.slots = {name: s.copy() for name, s in self.slots.items()}
        return state
