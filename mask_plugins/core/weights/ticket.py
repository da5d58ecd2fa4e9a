# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""From soft masks to a ticket, of any or of an exact sparsity."""

from typing import List, Optional, Sequence

import torch
from torch import Generator, Tensor, nn

from .lifecycle import named_masks
from .soft_mask import SoftMask

SCOPES = ('global', 'layer')
CRITERIA = ('logit', 'magnitude', 'random')


@torch.no_grad()
def make_ticket(
    model: nn.Module,
    sparsity: Optional[float] = None,
    scope: str = 'global',
    by: str = 'logit',
    generator: Optional[Generator] = None,
) -> None:
    """Turn the soft masks of a model hard and freeze their logits, in place.

    Args:
        model (nn.Module): With soft masks.
        sparsity (float, optional): Exact share of the masked weights that is
            removed. Defaults to None: what has a logit of 0 or less.
        scope (str): Rank over all layers, ``'global'``, or within each,
            ``'layer'``. Defaults to ``'global'``.
        by (str): What ranks the weights where a sparsity is given: their
            ``'logit'``; or as baselines their ``'magnitude'``, or ``'random'``
            numbers. Defaults to ``'logit'``.
        generator (Generator, optional): Of the random numbers, on the CPU.
            Defaults to None.

    Raises:
        ValueError: If an argument is not one of the allowed, or the model has
            no soft masks.
    """
    if by not in CRITERIA:
        raise ValueError(f'by must be one of {CRITERIA}, got {by!r}')
    items = [i for i in named_masks(model) if isinstance(i.mask, SoftMask)]
    if not items:
        raise ValueError('make_ticket: the model has no soft masks')
    if sparsity is not None:
        values = [
            item.mask.logits
            if by == 'logit'
            else item.parameter.abs()
            if by == 'magnitude'
            else torch.rand(item.parameter.shape, generator=generator)
            for item in items
        ]
        for item, on in zip(items, keep_highest(values, sparsity, scope)):
            item.mask.set_hard(on.to(item.mask.logits.device))
    for item in items:
        item.mask.ticket = True
        item.mask.logits.grad = None


def keep_highest(
    values: Sequence[Tensor], sparsity: float, scope: str = 'global'
) -> List[Tensor]:
    """Keep the highest values so that an exact share is removed.

    Args:
        values (Sequence[Tensor]): One tensor per parameter.
        sparsity (float): Share to remove, in [0, 1).
        scope (str): See :func:`make_ticket`. Defaults to ``'global'``.

    Returns:
        list[Tensor]: bool masks. Of N values exactly round(sparsity * N) are
        off; of equal values the later ones go first.

    Raises:
        ValueError: If ``sparsity`` or ``scope`` is not one of the allowed.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f'sparsity must be in [0, 1), got {sparsity!r}')
    if scope not in SCOPES:
        raise ValueError(f'scope must be one of {SCOPES}, got {scope!r}')
    if scope == 'layer':
        return [_keep(v.flatten(), sparsity).view(v.shape) for v in values]
    on = _keep(torch.cat([v.flatten() for v in values]), sparsity)
    parts = on.split([v.numel() for v in values])
    return [part.view(v.shape) for part, v in zip(parts, values)]


def _keep(flat: Tensor, sparsity: float) -> Tensor:
    order = flat.nan_to_num(nan=-torch.inf).argsort(
        descending=True, stable=True
    )
    on = torch.zeros_like(flat, dtype=torch.bool)
    on[order[: flat.numel() - round(sparsity * flat.numel())]] = True
    return on
