# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The masked linear head of the authors' package."""

from functools import partial

from torch import nn

from mask_plugins.core.weights import ScoreMask, apply_weight_masks


class MaskedLinear(nn.Module):
    """A linear layer over a frozen random weight that is masked by scores.

    No bias, a threshold of 0, scaled by sqrt(N / n) within the graph. The
    original divides by 0 where nothing is on; here the output is then 0. As a
    head of mmpretrain see ``mask_plugins.MaskedLinearClsHead``.

    Args:
        in_features (int): Channels of the input.
        out_features (int): Channels of the output.
        score_init (float): Initial value of all scores. Defaults to 1.

    Examples:
        >>> import torch
        >>> MaskedLinear(4, 3)(torch.ones(2, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, in_features: int, out_features: int, score_init: float = 1.0
    ) -> None:
        super().__init__()
        self.linear = apply_weight_masks(
            nn.Linear(in_features, out_features, bias=False),
            [('weight', 'mask')],
            partial(ScoreMask, init=score_init),
        )

    @property
    def scores(self) -> nn.Parameter:
        """(out_features, in_features)."""
        return self.linear.weight_mask.scores

    def forward(self, x):
        """(..., in_features) -> (..., out_features)."""
        return self.linear(x)
