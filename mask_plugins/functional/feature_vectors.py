# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One vector per sample out of what a layer gives."""

from typing import Any

from torch import Tensor


def features_of(output: Any) -> Tensor:
    """One vector per sample out of what a layer gives.

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
