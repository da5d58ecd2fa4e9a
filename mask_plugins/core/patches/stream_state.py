# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is remembered of one video stream."""

from typing import Dict, Optional

import torch
from torch import Tensor

from .layer_memory import Slot
from .layer_stats import LayerStats


class StreamState:
    """References and cached outputs of one stream, for all gated layers.

    It belongs to no module and to no state dict. Every layer refreshes what
    it has here when shape, dtype, device or a weight has changed; the whole
    state is refreshed at scene cuts and every so many frames.

    Args:
        refresh_every (int): Frames after which all is computed anew; 0 for
            never. Defaults to 0.
        scene_cut (float): Mean absolute change of a frame, as a fraction of
            its mean absolute deviation, above which it counts as a new
            scene; 0 for never. Defaults to 1.0.

    Raises:
        ValueError: If one is negative.
    """

    #: One pixel in so many, each way, is looked at for scene cuts.
    STRIDE = 8

    def __init__(self, refresh_every: int = 0, scene_cut: float = 1.0) -> None:
        if not (isinstance(refresh_every, int) and refresh_every >= 0):
            raise ValueError(
                f'refresh_every must be an int >= 0, got {refresh_every!r}'
            )
        if not scene_cut >= 0:
            raise ValueError(f'scene_cut must be >= 0, got {scene_cut!r}')
        self.refresh_every = refresh_every
        self.scene_cut = scene_cut
        self.slots: Dict[str, Slot] = {}
        self.frame = 0
        #: Scene cuts seen since the state was made or reset.
        self.scene_cuts = 0
        self.refreshing = False
        self._thumbnail: Optional[Tensor] = None

    def reset(self) -> None:
        """Forget the stream; the next frame is computed in full."""
        self.slots = {}
        self.frame = 0
        self.scene_cuts = 0
        self.refreshing = False
        self._thumbnail = None

    def begin(self, image: Tensor) -> None:
        """Look at the input of the network before its layers do.

        Args:
            image (Tensor): The frame, :math:`(C, H, W)`.
        """
        every = self.refresh_every
        self.refreshing = bool(every and self.frame % every == 0)
        if self.scene_cut:
            step = self.STRIDE
            seen = image.detach()[..., ::step, ::step].float()
            last, self._thumbnail = self._thumbnail, seen.clone()
            if last is not None and last.shape == seen.shape:
                change = (seen - last.to(seen.device)).abs().mean()
                spread = (seen - seen.mean()).abs().mean()
                # ~(<=): a frame that is not finite is no old scene.
                if not bool(change <= self.scene_cut * spread + 1e-12):
                    self.refreshing = True
                    self.scene_cuts += 1

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

    def memory_bytes(self) -> int:
        """Bytes of references and cached outputs of this stream."""
        return sum(
            tensor[0].numel() * tensor.element_size()
            for slot in self.slots.values()
            for tensor in (slot.memory.ref, *slot.memory.cached)
            if tensor is not None
        )

    def cached_bytes(self) -> int:
        """Bytes of the cached activations, references not included."""
        return sum(
            tensor[0].numel() * tensor.element_size()
            for slot in self.slots.values()
            for tensor in slot.memory.cached
        )

    def __deepcopy__(self, memo: dict) -> 'StreamState':
        state = type(self)(self.refresh_every, self.scene_cut)
        state.frame, state.scene_cuts = self.frame, self.scene_cuts
        state.slots = {name: s.copy() for name, s in self.slots.items()}
        if self._thumbnail is not None:
            state._thumbnail = self._thumbnail.clone()
        return state


def normal_tensors():
    """Caches are normal tensors, also where inference mode is on.

    Those of inference mode count no versions, by which a change of a cache
    from outside is found out.
    """
    return torch.inference_mode(False)
