# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The obvious implementations of weight masks, as yardsticks of ours.

What one writes first: ``torch.nn.utils.parametrize`` and plain autograd, with
a mask of floats that is kept for the backward pass. The math is ours, which
the tests check.
"""

from typing import List, Tuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mask_plugins.core.weights import SoftMask, named_masks


class PlainSoftMask(nn.Module):
    """w * c * sigmoid(b s); the last mask is kept for the penalty."""

    def __init__(self, weight: Tensor, init: float = 0.0) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.full_like(weight, init))
        self.register_buffer('temperature', weight.new_ones(()))
        self.scale = 1 / torch.sigmoid(torch.tensor(init)).item()

    def forward(self, weight: Tensor) -> Tensor:
        """The effective weight."""
        mask = torch.sigmoid(self.temperature * self.logits)
        self.mask = self.scale * mask
        return weight * self.mask


class PlainScoreMask(nn.Module):
    """w * m * sqrt(1 / mean(m)) with a straight-through mask of floats."""

    def __init__(self, weight: Tensor, scores: Tensor) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)

    def forward(self, weight: Tensor) -> Tensor:
        """The effective weight."""
        mask = _Threshold.apply(self.scores)
        return weight * mask * (1 / mask.mean()).sqrt()


class _Threshold(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores: Tensor) -> Tensor:
        return (scores > 0).to(scores.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad


def put_plain_masks(model: nn.Module, masked: nn.Module) -> None:
    """Mask the weights of a model that another has masked by our means.

    Args:
        model (nn.Module): Without masks; changed in place.
        masked (nn.Module): A model of the same names with ``SoftMask`` or
            ``ScoreMask``, whose initial values are taken over.
    """
    for item in named_masks(masked):
        owner, _, leaf = item.name.rpartition('.')
        module = model.get_submodule(owner)
        weight = getattr(module, leaf)
        if isinstance(item.mask, SoftMask):
            mask = PlainSoftMask(weight.detach(), item.mask.init)
        else:
            mask = PlainScoreMask(weight, item.mask.scores.detach().clone())
        weight.requires_grad_(item.mask.trains_weight)
        parametrize.register_parametrization(module, leaf, mask, unsafe=True)


def plain_masks_of(model: nn.Module) -> List[Tuple[nn.Module, Tensor]]:
    """The masks that :func:`put_plain_masks` made, and their weights."""
    return [
        (chain[0], chain.original)
        for chain in model.modules()
        if isinstance(chain, parametrize.ParametrizationList)
    ]
