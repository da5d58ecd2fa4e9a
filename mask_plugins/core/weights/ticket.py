# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""From soft masks to a ticket, of any or of an exact sparsity."""

from typing import List, Optional, Sequence

import torch
from torch import Generator, Tensor, nn

from mask_plugins.utils.checks import check_choice, check_number

from .named_masks import check_values, named_masks
from .soft_mask import SoftMask
from .two_of_four import fits_two_of_four, keep_two_of_four

SCOPES = ('global', 'layer')
CRITERIA = ('logit', 'magnitude', 'random')
PATTERNS = ('unstructured', '2:4')


@torch.no_grad()
def make_ticket(
    model: nn.Module,
    sparsity: Optional[float] = None,
    scope: str = 'global',
    by: str = 'logit',
    generator: Optional[Generator] = None,
    pattern: str = 'unstructured',
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
        pattern (str): ``'2:4'`` keeps the highest two of each four inputs,
            whatever the search has found, so that half is removed; see
            :func:`mask_plugins.core.weights.keep_two_of_four`. Weights whose
            number of inputs is not a multiple of 4 (a stem, depthwise
            convolutions) keep their highest half. Defaults to
            ``'unstructured'``.

    Raises:
        ValueError: If ``sparsity`` is not in [0, 1), or not 0.5 for 2:4,
            ``scope``, ``by`` or ``pattern`` is unknown, or the model has no
            soft masks, or tensors on the meta device.

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskLinear
        >>> layer = SoftMaskLinear(4, 4)
        >>> make_ticket(layer, sparsity=0.75)
        >>> int(layer.weight_mask.hard().sum())
        4
        >>> make_ticket(layer, pattern='2:4')
        >>> layer.weight_mask.hard().sum(dim=1)
        tensor([2, 2, 2, 2])
    """
    check_choice('by', by, CRITERIA)
    sparsity = check_pattern(pattern, sparsity)
    items = [i for i in named_masks(model) if isinstance(i.mask, SoftMask)]
    if not items:
        raise ValueError('make_ticket: the model has no soft masks')
    check_values(model, 'make_ticket')
    if sparsity is not None:
        values = [
            item.mask.logits
            if by == 'logit'
            else item.parameter.abs()
            if by == 'magnitude'
            else torch.rand(item.parameter.shape, generator=generator)
            for item in items
        ]
        if pattern == '2:4':
            kept = [_keep_half(value) for value in values]
        else:
            kept = keep_highest(values, sparsity, scope)
        for item, on in zip(items, kept):
            item.mask.set_hard(on.to(item.mask.logits.device))
    for item in items:
        item.mask.ticket = True
        item.mask.logits.grad = None


def check_pattern(pattern: str, sparsity: Optional[float]) -> Optional[float]:
    """The sparsity that a pattern of :func:`make_ticket` has.

    Args:
        pattern (str): One of ``PATTERNS``.
        sparsity (float, optional): What was asked for.

    Returns:
        float | None: 0.5 for 2:4, otherwise what was asked for.

    Raises:
        ValueError: If the pattern is unknown, or another share was asked for.

    Examples:
        >>> check_pattern('2:4', None)
        0.5
    """
    check_choice('pattern', pattern, PATTERNS)
    if pattern == 'unstructured':
        return sparsity
    if sparsity not in (None, 0.5):
        raise ValueError(
            f"pattern='2:4' removes half: sparsity must be 0.5 or None, got "
            f'{sparsity}'
        )
    return 0.5


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
        ValueError: If ``sparsity`` is not in [0, 1) or ``scope`` is unknown.

    Examples:
        >>> keep_highest([torch.tensor([3.0, 1.0, 2.0])], sparsity=1 / 3)
        [tensor([ True, False,  True])]
    """
    check_number('sparsity', sparsity, 0, 1, '[)')
    check_choice('scope', scope, SCOPES)
    if scope == 'layer':
        return [_keep(v.flatten(), sparsity).view(v.shape) for v in values]
    on = _keep(torch.cat([v.flatten() for v in values]), sparsity)
    parts = on.split([v.numel() for v in values])
    return [part.view(v.shape) for part, v in zip(parts, values)]


def _keep_half(values: Tensor) -> Tensor:
    if fits_two_of_four(values.shape):
        return keep_two_of_four(values)
    return keep_highest([values], 0.5)[0]


def _keep(flat: Tensor, sparsity: float) -> Tensor:
    order = flat.nan_to_num(nan=-torch.inf).argsort(
        descending=True, stable=True
    )
    on = torch.zeros_like(flat, dtype=torch.bool)
    on[order[: flat.numel() - round(sparsity * flat.numel())]] = True
    return on
