# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A penalty on the soft masks of a model, among its losses."""

from typing import Any

import torch
from torch import nn

from mask_plugins.core.composed import Composed, compose, decompose
from mask_plugins.core.weights import (
    SoftMask,
    collect_sums,
    hold_masks,
    named_masks,
)
from mask_plugins.utils.checks import check_choice, check_number

REDUCTIONS = ('sum', 'mean')
LOSS_KEY = 'loss_mask'


class PenalizedModel(Composed):
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
            losses[LOSS_KEY] = masks[0].logits.new_zeros(())
            return losses
        # All masks in one go: a small layer's mask that is computed between
        # two convolutions takes several times as long.
        with collect_sums(self) as sums, hold_masks(self):
            losses = super().forward(*args, **kwargs)
        total = torch.stack(sums).sum()
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
        ValueError: If ``penalty`` is negative, ``reduction`` unknown, or the
            model has no soft masks, or other masks too.

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskLinear
        >>> class Model(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.fc = SoftMaskLinear(2, 3)
        ...     def forward(self, x, mode='loss'):
        ...         return dict(loss=self.fc(x).mean())
        >>> model = add_mask_penalty(Model(), 0.5)
        >>> model(torch.ones(1, 2), mode='loss')['loss_mask'].item()
        3.0
        >>> type(remove_mask_penalty(model)).__name__
        'Model'
    """
    check_number('penalty', penalty, low=0)
    check_choice('reduction', reduction, REDUCTIONS)
    masks = [item.mask for item in named_masks(model)]
    if not masks or not all(isinstance(mask, SoftMask) for mask in masks):
        raise ValueError(
            f'{type(model).__name__} has no soft masks, or other masks too; '
            'the penalty is on the sum of soft masks'
        )
    compose(model, PenalizedModel)
    model.mask_penalty = penalty
    model.mask_penalty_reduction = reduction
    return model


def remove_mask_penalty(model: nn.Module) -> nn.Module:
    """Undo :func:`add_mask_penalty`, in place.

    Args:
        model (nn.Module): With a penalty; others are left alone.

    Returns:
        nn.Module: The same model, of its own class.
    """
    decompose(model, PenalizedModel)
    for name in ('mask_penalty', 'mask_penalty_reduction'):
        model.__dict__.pop(name, None)
    return model
