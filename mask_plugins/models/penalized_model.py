# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A penalty on the soft masks of a model, among its losses."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from mask_plugins.core.weights import (
    SoftMask,
    collect_sums,
    hold_masks,
    named_masks,
)

REDUCTIONS = ('sum', 'mean')
LOSS_KEY = 'loss_mask'


class PenalizedModel:
    """What :func:`add_mask_penalty` mixes into the class of a model."""

    mask_penalty: float
    mask_penalty_reduction: str

    def forward(self, *args, **kwargs) -> Any:
        """As the stock class; among losses, that of the masks."""
        if kwargs.get('mode') != 'loss' or not self.mask_penalty:
            return super().forward(*args, **kwargs)
        masks = [item.mask for item in named_masks(self)]
        if all(mask.ticket for mask in masks):
            losses = super().forward(*args, **kwargs)
            losses[LOSS_KEY] = masks[0].temperature.new_zeros(())
            return losses
        # All masks in one go: a small layer's mask that is computed between
        # two convolutions takes several times as long.
        with collect_sums(self) as sums, hold_masks(self):
            losses = super().forward(*args, **kwargs)
        total: Tensor = torch.stack(sums).sum()
        if self.mask_penalty_reduction == 'mean':
            total = total / sum(mask.logits.numel() for mask in masks)
        losses[LOSS_KEY] = self.mask_penalty * total
        return losses


def add_mask_penalty(
    model: nn.Module, penalty: float, reduction: str = 'sum'
) -> nn.Module:
    """Add ``loss_mask`` to what a model returns in ``mode='loss'``, in place.

    The loss is the penalty times the sum (or the mean) of all soft masks,
    their constant c included (Savarese et al., arXiv:1912.04427). It is
    a by-product of the forward pass. As a ticket the sum is constant, so the
    loss is 0.

    Args:
        model (nn.Module): A model of mmengine's kind with soft masks.
        penalty (float): Weight of the loss, not negative.
        reduction (str): ``'sum'`` or ``'mean'``. Defaults to ``'sum'``.

    Returns:
        nn.Module: The same model.

    Raises:
        ValueError: If an argument is not one of the allowed, or the model has
            no soft masks.
    """
    if not penalty >= 0:
        raise ValueError(f'penalty must be at least 0, got {penalty!r}')
    if reduction not in REDUCTIONS:
        raise ValueError(
            f'reduction must be one of {REDUCTIONS}, got {reduction!r}'
        )
    masks = [item.mask for item in named_masks(model)]
    if not masks or not all(isinstance(mask, SoftMask) for mask in masks):
        raise ValueError(
            f'{type(model).__name__} has no soft masks, or other masks too; '
            'the penalty is on the sum of soft masks'
        )
    if not isinstance(model, PenalizedModel):
        model.__class__ = _penalized(type(model))
    model.mask_penalty = penalty
    model.mask_penalty_reduction = reduction
    return model


@lru_cache(maxsize=None)
def _penalized(stock: type) -> type:
    return type(
        stock.__name__,
        (PenalizedModel, stock),
        dict(__module__=stock.__module__, __doc__=stock.__doc__),
    )
