# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The interface of all gates."""

from typing import Optional, Tuple

from torch import Tensor, nn

from mask_plugins.native.patch_change import score_changes
from mask_plugins.native.pixel_changes import PixelChanges
from mask_plugins.utils.checks import check_pair

from ..patch_difference import map_scale, patch_change
from ..patch_window import PatchWindow, Window
from ..running_mode import RunningMode


class Gate(nn.Module):
    """Decide which patches of a map are computed again.

    A gate is asked with the current input of a layer and the *reference*: for
    each patch, the input that its cached output was computed from. It keeps
    nothing between calls, so that one gate serves any number of streams.

    Subclasses give :meth:`decide`, and :meth:`scores` if theirs are not the
    change of a patch.

    Args:
        patch_size (int | tuple[int, int]): Height and width of a patch.
            Defaults to 8.

    Examples:
        >>> import torch
        >>> class Brighter(Gate):
        ...     def decide(self, scores):
        ...         return scores > 0.5
        >>> gate, x = Brighter(patch_size=2), torch.zeros(1, 3, 4, 4)
        >>> x[..., :2, :2] = 1
        >>> gate.decide(gate.scores(x, torch.zeros(1, 3, 4, 4))).tolist()
        [[[True, False], [False, False]]]
    """

    #: How the change within a window becomes one number.
    reduction = 'mean'
    #: Whether scores are fractions of the mean magnitude of the map.
    relative = False
    #: Whether every patch is active, so that the layer need not ask.
    computes_all = False
    #: Whether a skipped patch may differ from its reference, so that it is to
    #: be computed again in its turn.
    ages = True
    #: How many channels are compared, and kept as references; None for all.
    sample_channels: Optional[int] = None
    #: How many patches a map must have; None for any number.
    patch_num: Optional[int] = None
    #: Attributes that `print` shows next to the patch size.
    shown: Tuple[str, ...] = ()

    def __init__(self, patch_size=8) -> None:
        super().__init__()
        self.patch_size = check_pair(
            'patch_size', patch_size, low=1, single=True
        )
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
        kept = self.sample_channels
        return x if kept is None or kept >= x.shape[1] else x[:, :kept]

    def window_of(self, x: Tensor, window: Window = None) -> PatchWindow:
        """The patches that a layer says a map has, or else plain ones.

        Raises:
            ValueError: If there are not ``patch_num`` of them.
        """
        window = window or PatchWindow.plain(x.shape[-2:], self.patch_size)
        if self.patch_num not in (None, window.patches):
            size = '{}x{}'.format(*x.shape[-2:])
            has = f'a map of {size} has {window.patches} patches'
            raise ValueError(f'patch_num is {self.patch_num}, but {has}')
        return window

    @property
    def compares(self) -> bool:
        """Whether scores are mean changes, of which some may be known."""
        kind = type(self)
        own = kind.scores is Gate.scores and kind.forward is Gate.forward
        return self.reduction == 'mean' and own

    def scores(
        self,
        x: Tensor,
        ref: Tensor,
        window: Window = None,
        known: Optional[PixelChanges] = None,
    ) -> Tensor:
        """How much each patch needs to be computed again.

        Args:
            x (Tensor): Current input, :math:`(B, C, H, W)`.
            ref (Tensor): Reference input of the same shape, or what
                :meth:`reference_of` gives of it.
            window (PatchWindow, optional): Patches and what they depend on.
                Defaults to patches of ``patch_size`` alone.
            known (PixelChanges, optional): What is known of the change of
                pixels, of a gate that :attr:`compares`. Defaults to None.

        Returns:
            Tensor: float32, :math:`(B, G_h, G_w)`; high needs it most.
        """
        window = self.window_of(x, window)
        x, ref = self.reference_of(x), self.reference_of(ref)
        if self.reduction == 'mean':
            compared = x, ref, window.tiles, self.relative, known
            scores = score_changes(*compared)
            if scores is not None:
                return scores
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
        self,
        x: Tensor,
        ref: Tensor,
        window: Window = None,
        known: Optional[PixelChanges] = None,
    ) -> Tensor:
        """Active patches: see :meth:`scores` and :meth:`decide`."""
        # Subclasses that do not compare have scores without `known`.
        more = () if known is None else (known,)
        return self.decide(self.scores(x, ref, window, *more))

    def macs(self, channels: int, window: PatchWindow) -> int:
        """Multiply-adds (one per value read) of a decision on one map."""
        channels = min(channels, self.sample_channels or channels)
        pixels = window.patches * window.patch[0] * window.patch[1]
        return channels * pixels

    def extra_repr(self) -> str:
        """What `print` shows."""
        names = ('patch_size', *self.shown)
        return ', '.join(f'{name}={getattr(self, name)}' for name in names)
