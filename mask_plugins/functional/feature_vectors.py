# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One vector per sample, and which of them are finite."""

from typing import Any

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


def check_finite(name: str, rows: Tensor) -> None:
    """Refuse rows with NaN or infinity.

    Raises:
        ValueError: If there are such; it says how many.
    """
    wrong = non_finite_rows(rows)
    if wrong:
        raise ValueError(
            f'{name} must be finite, but {wrong} of {len(rows)} rows have NaN '
            'or infinity: has the training diverged?'
        )
