# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A gate that does not look at its input."""

import torch
from torch import Tensor

from mask_plugins.utils.checks import check_bool

from ..patch_window import PatchWindow, Window
from .base import Gate


class ConstantGate(Gate):
    """All patches are active, or none.

    Args:
        active (bool): Whether they are. With True the layer calls its dense
            path. Defaults to True.
        **kwargs: Of :class:`Gate`.

    Examples:
        >>> import torch
        >>> x = torch.zeros(1, 3, 8, 16)
        >>> ConstantGate(active=True)(x, x)
        tensor([[[True, True]]])
    """

    shown = ('active',)
    ages = False

    def __init__(self, active: bool = True, **kwargs) -> None:
        super().__init__(**kwargs)
        self.active = self.computes_all = check_bool('active', active)

    def scores(self, x: Tensor, ref: Tensor, window: Window = None) -> Tensor:
        """Ones or zeros: see :meth:`Gate.scores`."""
        grid = self.window_of(x, window).grid
        return torch.full((len(x), *grid), float(self.active), device=x.device)

    def decide(self, scores: Tensor) -> Tensor:
        """The same for every patch: see :meth:`Gate.decide`."""
        return scores > 0

    def macs(self, channels: int, window: PatchWindow) -> int:
        """None at all."""
        return 0
