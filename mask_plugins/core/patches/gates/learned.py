# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What gates that learn have in common."""

import torch
from torch import Tensor

from mask_plugins.utils.checks import check_number

from .base import Gate


class LearnedGate(Gate):
    """A gate whose scores are logits of being active.

    While it trains, a decision is drawn from the binary concrete distribution
    and passes its gradient straight through; otherwise it is ``logit >
    threshold`` and nothing is random.

    Args:
        threshold (float): Of the logit; moves the skip ratio of a trained
            gate. Defaults to 0.
        **kwargs: Of :class:`Gate`.

    Raises:
        TypeError, ValueError: If the threshold is not a finite number.

    Examples:
        >>> gate = LearnedGate(threshold=1.0, patch_size=4).eval()
        >>> gate.decide(torch.tensor([0.5, 1.5, torch.nan]))
        tensor([False,  True,  True])
    """

    #: Of the relaxation.
    TEMPERATURE = 2 / 3

    shown = ('threshold',)

    def __init__(self, threshold: float = 0.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.threshold = check_number('threshold', threshold)

    def decide(self, scores: Tensor) -> Tensor:
        """Sampled while training: see :meth:`Gate.decide`."""
        if not (self.training and self.running_mode.trains_gates):
            return ~(scores <= self.threshold)
        # NaN is computed, never skipped.
        scores = scores.nan_to_num(1e4, 1e4, -1e4)
        uniform = torch.rand_like(scores).clamp_(1e-6, 1 - 1e-6)
        noise = uniform.log() - torch.log1p(-uniform)
        soft = torch.sigmoid(
            (scores - self.threshold + noise) / self.TEMPERATURE
        )
        hard = (soft.detach() > 0.5).to(soft)
        # In this order the value is exactly 0 or 1.
        return hard + (soft - soft.detach())
