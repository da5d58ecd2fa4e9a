# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What every mask of a weight has in common."""

from typing import Any, Dict, Optional

import torch
from torch import Tensor, nn

# Below this, sigmoids saturate early and scores lose their updates.
_MASK_DTYPES = (torch.float32, torch.float64)


class WeightMask(nn.Module):
    """The mask of one parameter: a small module beside it.

    It is called with the parameter and returns what the layer computes with.
    A subclass defines :meth:`masked`, :meth:`hard` and :meth:`settings`.

    Attributes:
        enabled (bool): Off means the parameter itself, bit for bit.
        trains_weight (bool): Whether the parameter is trained beside its
            mask; otherwise it is frozen while it is masked.
    """

    trains_weight = False

    def __init__(self) -> None:
        super().__init__()
        self.enabled = True

    def forward(self, weight: Tensor) -> Tensor:
        """The effective weight, in the dtype of ``weight``.

        The arithmetic is that of the mask's own dtype, at least float32: also
        under autocast, which then casts the result as it casts any weight.

        Args:
            weight (Tensor): The parameter.

        Returns:
            Tensor: Of the same shape.
        """
        if not self.enabled:
            return weight
        dtype = self.dtype or mask_dtype(weight)
        return self.masked(weight.to(dtype)).to(weight.dtype)

    def masked(self, weight: Tensor) -> Tensor:
        """The effective weight, of a weight in the dtype of the mask."""
        raise NotImplementedError

    def hard(self) -> Tensor:
        """Which weights the finished mask keeps: bool, without a graph."""
        raise NotImplementedError

    def soft_density(self) -> float:
        """The mean of the mask as it is now, in [0, 1]."""
        return float(self.hard().double().mean())

    def settings(self) -> Dict[str, Any]:
        """What an adapter file needs beside the bits: plain values."""
        raise NotImplementedError

    def finite(self) -> bool:
        """Whether no logit or score is NaN or infinite."""
        return all(bool(p.isfinite().all()) for p in self.parameters())

    @property
    def dtype(self) -> Optional[torch.dtype]:
        """The dtype of the mask's arithmetic; None for that of the weight."""
        return None

    def _apply(self, fn, recurse=True):
        # model.half() is meant for the weights.
        return super()._apply(lambda t: _keep_precision(fn, t), recurse)


def mask_dtype(weight: Tensor) -> torch.dtype:
    """float64 for float64, else float32."""
    return torch.promote_types(weight.dtype, torch.float32)


def _keep_precision(fn, tensor: Tensor) -> Tensor:
    out = fn(tensor)
    lowered = out.is_floating_point() and out.dtype not in _MASK_DTYPES
    if not lowered or tensor.dtype not in _MASK_DTYPES:
        return out
    return tensor.to(out.device)
