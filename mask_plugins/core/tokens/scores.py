# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Scores of tokens: the highest are kept.

All are computed in fp32: half-precision sums of a row tie often, and ties
broken by chance make the selection unstable.
"""

from typing import Optional

import torch
from torch import Tensor

# What a config may name. 'gate' is learned, see TokenGate.
SCORES = ('magnitude', 'l2_magnitude', 'random', 'gate')


def score_magnitude(x: Tensor) -> Tensor:
    """Sum of absolute values of each token (PSS, section 3).

    Args:
        x (Tensor): Patch tokens, :math:`(B, P, C)`.

    Returns:
        Tensor: fp32 scores, :math:`(B, P)`.

    Examples:
        >>> score_magnitude(torch.tensor([[[3.0, -4.0], [1.0, 0.0]]]))
        tensor([[7., 1.]])
    """
    return x.float().abs().sum(dim=-1)


def score_l2_magnitude(x: Tensor) -> Tensor:
    """Sum of squares of each token.

    Args:
        x (Tensor): Patch tokens, :math:`(B, P, C)`.

    Returns:
        Tensor: fp32 scores, :math:`(B, P)`.

    Examples:
        >>> score_l2_magnitude(torch.tensor([[[3.0, -4.0], [1.0, 0.0]]]))
        tensor([[25.,  1.]])
    """
    return x.float().square().sum(dim=-1)


def score_random(
    x: Tensor, generator: Optional[torch.Generator] = None
) -> Tensor:
    """Uniform noise: a random subset of each image.

    Args:
        x (Tensor): Patch tokens, :math:`(B, P, C)`; only its shape and
            device are used.
        generator (torch.Generator, optional): Source of the noise, on any
            device; None is the default one of ``x.device``.

    Returns:
        Tensor: fp32 scores, :math:`(B, P)`.

    Examples:
        >>> score_random(torch.zeros(2, 9, 4)).shape
        torch.Size([2, 9])
    """
    device = x.device if generator is None else generator.device
    noise = torch.rand(x.shape[:2], generator=generator, device=device)
    return -noise.to(x.device)
