# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A gate with a budget."""

import torch
from torch import Tensor

from ..patch_difference import REDUCTIONS
from .base import Gate


class TopKGate(Gate):
    """The patches that have changed most are active, a fixed number of them.

    The latency of a frame is then known. A patch that has not changed at all
    is never active, so that a still frame costs nothing; one that holds a NaN
    comes first.

    Args:
        k (int | float): Number of patches, or a share of all if it is a float
            in [0, 1]; may be set between frames. Defaults to 0.25.
        reduction (str): ``'mean'`` or ``'max'``. Defaults to ``'mean'``.
        **kwargs: Of :class:`Gate`.

    Raises:
        ValueError: If ``k`` is neither, or the reduction unknown.
    """

    def __init__(self, k=0.25, reduction: str = 'mean', **kwargs) -> None:
        super().__init__(**kwargs)
        if reduction not in REDUCTIONS:
            raise ValueError(
                f'reduction must be one of {REDUCTIONS}, got {reduction!r}'
            )
        self.reduction = reduction
        self.k = k

    @property
    def k(self):
        """Number or share of patches."""
        return self._k

    @k.setter
    def k(self, k) -> None:
        share = isinstance(k, float) and 0 <= k <= 1
        number = isinstance(k, int) and not isinstance(k, bool) and k >= 0
        if not (share or number):
            raise ValueError(
                f'k must be an int >= 0 or a float in [0, 1], got {k!r}'
            )
        self._k = k

    def decide(self, scores: Tensor) -> Tensor:
        """The k highest of each map: see :meth:`Gate.decide`."""
        flat = scores.flatten(1).nan_to_num(float('inf'), float('inf'))
        total = flat.shape[1]
        k = self.k
        k = round(k * total) if isinstance(k, float) else min(k, total)
        active = torch.zeros_like(flat, dtype=torch.bool)
        active.scatter_(1, flat.topk(k, dim=1).indices, True)
        return (active & (flat > 0)).view_as(scores)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f'{super().extra_repr()}, k={self.k}'
