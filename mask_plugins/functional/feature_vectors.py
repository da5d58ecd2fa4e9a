# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One vector per sample, and which of them are finite."""

from typing import Any, Optional

import torch
from torch import Tensor


def features_of(output: Any) -> Tensor:
    """One vector per sample from the output of a layer.

    Args:
        output (Tensor | Sequence[Tensor]): :math:`(B, D)` or
            :math:`(B, C, H, W)`, which is averaged over space; of several the
            last.

    Returns:
        Tensor: :math:`(B, D)`.

    Raises:
        ValueError: If it has another shape.
    """
    while isinstance(output, (tuple, list)) and output:
        output = output[-1]
    if isinstance(output, Tensor) and output.ndim == 4:
        output = output.mean(dim=(2, 3))
    if not isinstance(output, Tensor) or output.ndim != 2:
        shape = getattr(output, 'shape', None)
        raise ValueError(
            'features must have shape (B, D) or (B, C, H, W), got '
            f'{type(output).__name__ if shape is None else tuple(shape)}; '
            "take another layer, or a backbone with out_type='cls_token' or "
            "'avg_featmap'"
        )
    return output


def non_finite_rows(rows: Tensor) -> int:
    """How many rows of :math:`(N, D)` have a NaN or infinity."""
    return int((~rows.isfinite().all(dim=1)).sum())


def check_rows(
    name: str,
    rows: Tensor,
    labels: Optional[Tensor] = None,
    finite: bool = False,
) -> None:
    """Refuse what is not a matrix of rows.

    Args:
        name (str): What it is, for the errors.
        rows (Tensor): :math:`(N, D)` with N of at least 1.
        labels (Tensor, optional): int64 :math:`(N,)`. Defaults to None.
        finite (bool): Whether NaN and infinity are refused. Defaults to
            False.

    Raises:
        ValueError: If a shape or the dtype of the labels is another, or rows
            have to be finite and are not; it says how many.
    """
    if rows.ndim != 2 or not len(rows):
        raise ValueError(
            f'{name} must have shape (N, D) with N of at least 1, got '
            f'{tuple(rows.shape)}'
        )
    if rows.is_complex():
        raise ValueError(f'{name} must be real numbers, got {rows.dtype}')
    if labels is not None and (
        labels.shape != rows.shape[:1] or labels.dtype != torch.int64
    ):
        raise ValueError(
            f'labels of {name} must be int64 of shape ({len(rows)},), one per '
            f'row, got {labels.dtype} of shape {tuple(labels.shape)}'
        )
    wrong = non_finite_rows(rows) if finite else 0
    if wrong:
        raise ValueError(
            f'{name} must be finite, but {wrong} of {len(rows)} rows have NaN '
            'or infinity: has the training diverged?'
        )
