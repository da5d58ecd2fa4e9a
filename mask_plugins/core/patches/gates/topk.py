# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A gate with a budget."""

import torch
from torch import Tensor

from mask_plugins.utils.checks import check_int, check_ratio

from .base import Gate


class TopKGate(Gate):
    """The patches that have changed most are active, a fixed number of them.

    The latency of a frame is then known. A patch that has not changed at all
    is never active, so that a still frame costs nothing; one that holds a NaN
    comes first.

    Args:
        k (int | float): Number of patches, or a share of all if it is a float
            in [0, 1]; may be set between frames. Defaults to 0.25.
        **kwargs: Of :class:`Gate`.

    Raises:
        TypeError, ValueError: If ``k`` is neither.

    Examples:
        >>> import torch
        >>> x = torch.rand(1, 3, 32, 32)
        >>> TopKGate(k=0.25)(x, 1 - x).sum()  # 4 of 16 patches
        tensor(4)
    """

    shown = ('k',)

    def __init__(self, k=0.25, **kwargs) -> None:
        super().__init__(**kwargs)
        share = isinstance(k, float)
        self.k = check_ratio('k', k) if share else check_int('k', k, 0)

    def decide(self, scores: Tensor) -> Tensor:
        """The k highest of each map: see :meth:`Gate.decide`."""
        flat = scores.flatten(1).nan_to_num(float('inf'), float('inf'))
        total = flat.shape[1]
        k = self.k
        k = round(k * total) if isinstance(k, float) else min(k, total)
        active = torch.zeros_like(flat, dtype=torch.bool)
        active.scatter_(1, flat.topk(k, dim=1).indices, True)
        return (active & (flat > 0)).view_as(scores)
