# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a gated layer has computed and skipped for one stream."""

from dataclasses import dataclass
from typing import Optional

from torch import Tensor


@dataclass
class LayerStats:
    """Running totals of one layer for one stream.

    Args:
        frames (int): Frames seen.
        dense_frames (int): Frames that were computed in full.
        patches (int): Patches of all frames.
        skipped_patches (int): Those whose output was reused.
        macs (int): Multiply-adds that the dense layer would have done.
        skipped_macs (int): Those that were not done: halos of tiles and the
            gate count against it, so that it may be negative.
        gate_macs (int): Those of the gate, already taken off.
        active (Tensor, optional): Patches computed in the last frame, bool
            :math:`(G_h, G_w)`.
    """

    frames: int = 0
    dense_frames: int = 0
    patches: int = 0
    skipped_patches: int = 0
    macs: int = 0
    skipped_macs: int = 0
    gate_macs: int = 0
    active: Optional[Tensor] = None

    @property
    def skip_ratio(self) -> float:
        """Share of patches whose output was reused."""
        return self.skipped_patches / max(self.patches, 1)
