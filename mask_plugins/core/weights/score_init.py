# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the scores of a mask start at.

Each function takes the weight and returns the scores, of its shape.
"""

import math
from typing import Optional

import torch
from torch import Generator, Tensor

from mask_plugins.utils.checked import checked


@checked
def constant_scores(weight: Tensor, value: float = 1.0) -> Tensor:
    """Equal scores: with 1 and a threshold below it everything is on.

    Examples:
        >>> constant_scores(torch.zeros(2))
        tensor([1., 1.])
    """
    return torch.full_like(
        weight, value, memory_format=torch.contiguous_format
    )


@checked
def normal_scores(
    weight: Tensor,
    mean: float = 1.0,
    std: float = 0.0,
    generator: Optional[Generator] = None,
) -> Tensor:
    """Normally distributed scores.

    Examples:
        >>> normal_scores(torch.zeros(2), mean=3.0, std=0.0)
        tensor([3., 3.])
    """
    scores = constant_scores(weight)
    return scores.normal_(mean, std, generator=generator)


def kaiming_scores(
    weight: Tensor, generator: Optional[Generator] = None
) -> Tensor:
    r"""Uniform in :math:`\pm 1/\sqrt{\text{fan in}}`; vectors are sqrt(5).

    So a threshold of 0 turns half of a matrix off, and nothing of a vector.

    Examples:
        >>> scores = kaiming_scores(torch.zeros(64, 64))
        >>> 0.4 < (scores > 0).float().mean().item() < 0.6
        True
    """
    scores = constant_scores(weight, math.sqrt(5))
    if weight.dim() < 2:
        return scores
    # As torch's, whose generator is of 2.2, to the last bit.
    gain = torch.nn.init.calculate_gain('leaky_relu', math.sqrt(5))
    bound = math.sqrt(3) * (gain / math.sqrt(weight[0].numel()))
    return scores.uniform_(-bound, bound, generator=generator)


@checked
def magnitude_scores(
    weight: Tensor,
    mean: float = 0.0,
    std: float = 0.01,
    shuffle: bool = False,
    generator: Optional[Generator] = None,
) -> Tensor:
    """``|weight|`` plus normal noise.

    Args:
        weight (Tensor): The base weight.
        mean (float): Of the noise. Defaults to 0.
        std (float): Of the noise. Defaults to 0.01.
        shuffle (bool): Permute the weight first: magnitudes of the layer, but
            not of the weight. Defaults to False.
        generator (Generator, optional): Defaults to None, torch's own.

    Returns:
        Tensor: The scores.

    Examples:
        >>> magnitude_scores(torch.tensor([-1.0, 2.0]), std=0.0)
        tensor([1., 2.])
    """
    scores = weight.detach().abs().contiguous()
    if shuffle:
        order = torch.randperm(weight.numel(), generator=generator)
        scores = scores.view(-1)[order].view(weight.shape)
    noise = normal_scores(weight, mean, std, generator)
    return noise + scores


SCORE_INITS = dict(
    constant=constant_scores,
    normal=normal_scores,
    kaiming=kaiming_scores,
    magnitude=magnitude_scores,
)
