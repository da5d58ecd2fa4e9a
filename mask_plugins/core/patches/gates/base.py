# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The interface of all gates."""

from typing import Optional

from torch import Tensor, nn

from ..patch_difference import map_scale, patch_change
from ..running_mode import RunningMode
from ..window import PatchWindow, pair


class Gate(nn.Module):
    """Decide which patches of a map are computed anew.

    A gate is asked with the current input of a layer and the *reference*: for
    each patch, the input that its cached output was computed from. It keeps
    nothing between calls, so that one gate serves any number of streams.

    Subclasses give :meth:`decide`, and :meth:`scores` if theirs are not the
    change of a patch.

    Args:
        patch_size (int | tuple[int, int]): Height and width of a patch.
            Defaults to 8.
        halo (int): Pixels around a patch that count as part of it where a
            layer does not say what its windows are. Defaults to 0.
    """

    #: How the change within a window becomes one number.
    reduction = 'mean'
    #: Whether scores are fractions of the mean magnitude of the map.
    relative = False
    #: Whether references are kept in bfloat16, which halves their memory.
    half_reference = False
    #: How many channels are compared, and kept as references; None for all.
    sample_channels: Optional[int] = None

    def __init__(self, patch_size=8, halo: int = 0) -> None:
        super().__init__()
        self.patch_size = pair(patch_size, 'patch_size')
        self.halo = pair(halo, 'halo', least=0)[0]
        self.running_mode = RunningMode.FineTuning

    def set_own_running_mode(self, mode: RunningMode) -> None:
        """Take a mode; parameters are those of ``set_running_mode``."""
        self.running_mode = mode

    def train(self, mode: bool = True) -> 'Gate':
        """As of any module, but a gate trains only in ``GatePreTrain``."""
        return super().train(mode and self.running_mode.trains_gates)

    def reference_of(self, x: Tensor) -> Tensor:
        """What of a map is kept to be compared with later ones: a view.

        Args:
            x (Tensor): :math:`(B, C, H, W)`.
        """
        return x[:, : self.sample_channels]

    def window_of(self, x: Tensor) -> PatchWindow:
        """The patches of a map that no layer has said more about."""
        height, width = x.shape[-2:]
        return PatchWindow.plain(height, width, self.patch_size, self.halo)

    def scores(
        self, x: Tensor, ref: Tensor, window: Optional[PatchWindow] = None
    ) -> Tensor:
        """How much each patch needs to be computed anew.

        Args:
            x (Tensor): Current input, :math:`(B, C, H, W)`.
            ref (Tensor): Reference input of the same shape, or what
                :meth:`reference_of` gives of it.
            window (PatchWindow, optional): Patches and what they depend on.
                Defaults to patches of ``patch_size`` with the gate's halo.

        Returns:
            Tensor: float32, :math:`(B, G_h, G_w)`; high needs it most.
        """
        window = window or self.window_of(x)
        x = self.reference_of(x)
        ref = self.reference_of(ref)
        change = patch_change(x, ref, window, self.reduction)
        return change / map_scale(x) if self.relative else change

    def decide(self, scores: Tensor) -> Tensor:
        """Active patches from scores.

        Args:
            scores (Tensor): :math:`(B, G_h, G_w)`.

        Returns:
            Tensor: bool, True at patches to compute; of a gate that is being
            trained a float tensor of zeros and ones with a gradient.
        """
        raise NotImplementedError

    def forward(
        self, x: Tensor, ref: Tensor, window: Optional[PatchWindow] = None
    ) -> Tensor:
        """Active patches: see :meth:`scores` and :meth:`decide`."""
        return self.decide(self.scores(x, ref, window))

    def macs(self, channels: int, window: PatchWindow) -> int:
        """Multiply-adds (one per value read) of a decision on one map."""
        patches = window.grid[0] * window.grid[1]
        channels = min(channels, self.sample_channels or channels)
        return channels * patches * window.patch[0] * window.patch[1]

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f'patch_size={self.patch_size}'
