# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A gate that decides at random: the baseline for all others."""

from typing import Optional

import torch
from torch import Tensor

from mask_plugins.utils.checks import check_int, check_ratio

from ..patch_window import PatchWindow, Window
from .base import Gate


class RandomGate(Gate):
    """A random share of the patches of each map is active.

    Args:
        skip_ratio (float): Expected share of patches to skip, in [0, 1].
            Defaults to 0.5.
        seed (int, optional): Of a generator of the gate's own. Defaults to
            None: torch's.
        **kwargs: Of :class:`Gate`.

    Raises:
        TypeError, ValueError: If the ratio is not a number in [0, 1].

    Examples:
        >>> import torch
        >>> x = torch.rand(1, 3, 64, 64)
        >>> RandomGate(skip_ratio=1.0)(x, x).any()
        tensor(False)
    """

    shown = ('skip_ratio',)

    def __init__(
        self, skip_ratio: float = 0.5, seed: Optional[int] = None, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.skip_ratio = check_ratio('skip_ratio', skip_ratio)
        self.seed = check_int('seed', seed, optional=True)
        self._draws = 0

    def scores(self, x: Tensor, ref: Tensor, window: Window = None) -> Tensor:
        """Uniform in [0, 1): see :meth:`Gate.scores`."""
        grid = self.window_of(x, window).grid
        generator = None
        if self.seed is not None:
            # A seed and a count can be deep-copied, a generator cannot.
            generator = torch.Generator()
            generator.manual_seed(self.seed + 1_000_003 * self._draws)
            self._draws += 1
        return torch.rand(len(x), *grid, generator=generator).to(x.device)

    def decide(self, scores: Tensor) -> Tensor:
        """A share of ``1 - skip_ratio``: see :meth:`Gate.decide`."""
        return scores >= self.skip_ratio

    def macs(self, channels: int, window: PatchWindow) -> int:
        """One per patch."""
        return window.patches
