# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Binary masks of scores with a straight-through gradient."""

import math

import torch
from torch import Tensor

from mask_plugins.utils.checks import (
    check_choice,
    check_int,
    check_number,
    check_ratio,
)

CRITERIA = ('threshold', 'topk', 'flip')


def check_level(criterion: str, level: float) -> float:
    """The level, if it has a meaning for the criterion.

    Args:
        criterion (str): One of :data:`CRITERIA`.
        level (float): Threshold of the scores, or the share kept.

    Raises:
        TypeError: If the level is not a number.
        ValueError: If the criterion is unknown, the level is NaN, or for
            ``'topk'`` outside [0, 1].
    """
    check_choice('criterion', criterion, CRITERIA)
    if criterion == 'topk':
        return check_ratio('keep_ratio (level)', level)
    if isinstance(level, float) and math.isinf(level):
        return level  # nothing is on, or all is
    return check_number('threshold (level)', level)


def score_mask(
    scores: Tensor,
    criterion: str = 'threshold',
    level: float = 0.0,
    chunks: int = 1,
) -> Tensor:
    """The mask of a tensor of scores; its gradient passes straight through.

    Args:
        scores (Tensor): Of any shape and memory format.
        criterion (str): ``'threshold'`` keeps scores above the level (equal
            is off); ``'topk'`` keeps that share of the highest, of equal
            scores the later ones; ``'flip'`` gives -1 up to the level and +1
            above. NaN is off, or -1. Defaults to ``'threshold'``.
        level (float): Threshold, or share kept. Defaults to 0.
        chunks (int): Parts of equal size along the first dimension, each
            ranked for itself: 3 for a fused query-key-value weight.
            Defaults to 1.

    Returns:
        Tensor: 0 and 1, or -1 and +1, of the dtype of ``scores``.

    Raises:
        ValueError: See :func:`check_level`; or if the first dimension is not
            a multiple of ``chunks``.

    Examples:
        >>> score_mask(torch.tensor([0.1, 0.7, 0.4]), 'topk', 2 / 3)
        tensor([0., 1., 1.])
    """
    level = check_level(criterion, level)
    check_chunks(scores, chunks)
    on = score_is_on(scores.detach(), criterion, level, chunks)
    mask = on.to(scores.dtype)
    if criterion == 'flip':
        mask = 2 * mask - 1
    if not scores.requires_grad:
        return mask
    return _StraightThrough.apply(scores, mask)


def score_is_on(
    scores: Tensor, criterion: str, level: float, chunks: int = 1
) -> Tensor:
    """Which scores are on, as bool and without a graph.

    Args: as of :func:`score_mask`.

    Returns:
        Tensor: bool, of the shape of ``scores``.
    """
    if criterion != 'topk':
        return scores > level
    rows = scores.reshape(chunks, -1)
    on = torch.stack([_highest(row, level) for row in rows])
    return on.view(scores.shape)


def _highest(row: Tensor, share: float) -> Tensor:
    """The ``share`` of highest elements; of equal ones, the later."""
    off = int((1 - share) * row.numel())
    if off == 0:
        return torch.ones_like(row, dtype=torch.bool)
    # NaN would rank highest.
    row = row.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    if off == row.numel():
        return torch.zeros_like(row, dtype=torch.bool)
    # Linear time, where sorting a large layer takes a tenth of a second.
    border = row.kthvalue(off).values
    on = row > border
    # Counting the ties from the end needs no value on the host: no wait for a
    # GPU, and no break of a compiled graph.
    ties = row == border
    rank = ties.flip(0).cumsum(0, dtype=torch.int32).flip(0)
    return on | (ties & (rank <= row.numel() - off - on.count_nonzero()))


def check_chunks(tensor: Tensor, chunks: int) -> None:
    """Raise unless the first dimension divides into ``chunks``."""
    size = tensor.shape[0] if tensor.dim() else 1
    if size % check_int('chunks', chunks, low=1):
        raise ValueError(
            f'chunks={chunks} does not divide the first dimension of a '
            f'tensor of shape {tuple(tensor.shape)}'
        )


class _StraightThrough(torch.autograd.Function):
    """The value of the mask, the gradient of the scores."""

    @staticmethod
    def forward(ctx, scores, mask):
        return mask

    @staticmethod
    def backward(ctx, grad):
        return grad, None
