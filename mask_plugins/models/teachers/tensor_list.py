# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Many tensors, computed with as if they were one."""

from typing import Sequence

import torch
from torch import Tensor


class TensorList:
    """The operations that ``avg_func`` of mmengine's averaged models uses.

    Each method is one ``torch._foreach`` operation over all tensors: on a
    GPU a few kernel launches instead of one per tensor, with the same bits.

    Args:
        tensors (Sequence[Tensor]): The tensors, changed in place.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = list(tensors)

    def lerp_(self, other: 'TensorList', weight: float) -> 'TensorList':
        """Move towards the others."""
        torch._foreach_lerp_(self.tensors, other.tensors, weight)
        return self

    def add_(self, other: 'TensorList', alpha: float = 1.0) -> 'TensorList':
        """Add multiples of the others."""
        torch._foreach_add_(self.tensors, other.tensors, alpha=alpha)
        return self

    def mul_(self, factor: float) -> 'TensorList':
        """Multiply by a number."""
        torch._foreach_mul_(self.tensors, factor)
        return self

    def __sub__(self, other: 'TensorList') -> 'TensorList':
        return TensorList(torch._foreach_sub(self.tensors, other.tensors))
