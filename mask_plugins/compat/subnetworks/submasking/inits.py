# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What scores start at: functions of scores and base weights.

Each takes two tensors of one shape, or two lists of such tensors, and writes
the scores in place.
"""

from typing import Callable, Iterable, Union

import torch
from torch import Tensor

from mask_plugins.core.weights import SCORE_INITS

Tensors = Union[Tensor, Iterable[Tensor]]
Init = Callable[[Tensors, Tensors], None]


def default_scores_init(scores: Tensors, base_weights: Tensors) -> None:
    """Kaiming-uniform: half of a matrix is on at a threshold of 0.

    Args:
        scores (Tensor | Iterable[Tensor]): Written.
        base_weights (Tensor | Iterable[Tensor]): Of the same shapes.

    Examples:
        >>> scores = torch.zeros(2, 2)
        >>> default_scores_init(scores, torch.ones(2, 2))
        >>> bool(scores.any())
        True
    """
    _write('kaiming', scores, base_weights)


def positive_scores_init(scores: Tensors, base_weights: Tensors) -> None:
    """1 everywhere (the original's lacks the second argument and fails).

    Args:
        scores (Tensor | Iterable[Tensor]): Written.
        base_weights (Tensor | Iterable[Tensor]): Of the same shapes.

    Examples:
        >>> scores = torch.zeros(2, 2)
        >>> positive_scores_init(scores, torch.ones(2, 2))
        >>> scores.sum().item()
        4.0
    """
    _write('constant', scores, base_weights, value=1.0)


def normal_scores_init(mean: float = 0.0, std: float = 0.01) -> Init:
    """Normally distributed; the paper's are (1, 0): all on.

    Args:
        mean (float): Defaults to 0.
        std (float): Defaults to 0.01.

    Returns:
        Callable: The function that writes them.

    Examples:
        >>> scores = torch.zeros(2, 2)
        >>> normal_scores_init(1.0, 0.0)(scores, torch.ones(2, 2))
        >>> scores.sum().item()
        4.0
    """

    def init(scores: Tensors, base_weights: Tensors) -> None:
        _write('normal', scores, base_weights, mean=mean, std=std)

    return init


def magnitude_scores_init(
    mean: float = 0.0, std: float = 0.01, shuffle: bool = False
) -> Init:
    """The magnitude of the weight plus normal noise.

    Args:
        mean (float): Of the noise. Defaults to 0.
        std (float): Of the noise. Defaults to 0.01.
        shuffle (bool): Permute the magnitudes of each tensor. Defaults to
            False.

    Returns:
        Callable: The function that writes them.

    Examples:
        >>> scores = torch.zeros(2, 2)
        >>> magnitude_scores_init(std=0.0)(scores, torch.ones(2, 2))
        >>> scores.sum().item()
        4.0
    """

    def init(scores: Tensors, base_weights: Tensors) -> None:
        options = dict(mean=mean, std=std, shuffle=shuffle)
        _write('magnitude', scores, base_weights, **options)

    return init


@torch.no_grad()
def _write(name: str, scores: Tensors, weights: Tensors, **options) -> None:
    if isinstance(scores, Tensor):
        scores, weights = [scores], [weights]
    for score, weight in zip(scores, weights):
        score.copy_(SCORE_INITS[name](weight.to(score.dtype), **options))
