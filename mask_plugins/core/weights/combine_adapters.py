# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One adapter out of several of the same base."""

import os
from typing import List, Optional, Sequence, Union

import torch
from torch import Tensor

from mask_plugins.utils.checks import check_choice, check_number

from .adapter_content import pack_bits, unpack_bits
from .adapter_file import Adapter, read_adapter

HOW = ('and', 'or', 'majority', 'weighted')


def combine_adapters(
    adapters: Sequence[Union[Adapter, str, os.PathLike]],
    how: str = 'majority',
    weights: Optional[Sequence[float]] = None,
) -> Adapter:
    """Vote on every bit of adapters that belong to one base.

    Args:
        adapters (Sequence): At least two adapters, or their files.
        how (str): ``'and'``: a weight counts if it does in all of them;
            ``'or'``: in any; ``'majority'``: in more than half;
            ``'weighted'``: in adapters that have more than half of the sum of
            ``weights``. Defaults to ``'majority'``.
        weights (Sequence[float], optional): For ``'weighted'``, one per
            adapter, not negative. Defaults to None.

    Returns:
        Adapter: Other state, such as statistics of norms and heads, is the
        (weighted) mean of theirs; integers are those of the first.

    Raises:
        TypeError, ValueError: If there are fewer than two, ``how`` is
            unknown, the weights do not fit, or the adapters are of different
            bases or mask other parameters in another way.

    Examples:
        >>> from mask_plugins.core import weights
        >>> adapter = weights.pack_masks(weights.SoftMaskLinear(8, 2))
        >>> combine_adapters([adapter, adapter], 'and')
        Adapter(1 masks of 2 bytes, 1 other tensors of 8 bytes)
    """
    check_choice('how', how, HOW)
    if isinstance(adapters, (str, os.PathLike)):
        raise TypeError(f'adapters must be a list of them, got {adapters!r}')
    items = [
        one.check() if isinstance(one, Adapter) else read_adapter(one)
        for one in adapters
    ]
    if len(items) < 2:
        raise ValueError(f'adapters must be two or more, got {len(items)}')
    shares = _shares(how, weights, len(items))
    first = items[0]
    for index, other in enumerate(items[1:], 1):
        for name in ('base_sha256', 'bases', 'settings'):
            if getattr(other, name) != getattr(first, name):
                what = 'base weights' if 'base' in name else 'masks'
                raise ValueError(
                    f'adapters 0 and {index} have different {what}: only '
                    'adapters of one base and one set of rules combine'
                )
        if {k: v.shape for k, v in other.state.items()} != {
            k: v.shape for k, v in first.state.items()
        }:
            raise ValueError(
                f'adapters 0 and {index} have other tensors next to their '
                'masks, such as heads of other classes: pack the backbones'
            )
    masks = {}
    for name, settings in first.settings.items():
        shape = tuple(settings['shape'])
        bits = [unpack_bits(one.masks[name], shape) for one in items]
        masks[name] = pack_bits(_vote(bits, how, shares))
    state = {}
    for name, value in first.state.items():
        values = [one.state[name] for one in items]
        state[name] = value
        if value.is_floating_point():
            mean = sum(s * v.double() for s, v in zip(shares, values))
            state[name] = mean.to(value.dtype)
    info = dict(combined=how, adapters=len(items))
    return Adapter(
        masks, first.settings, state, first.base_sha256, first.bases, info
    ).check()


def _shares(
    how: str, weights: Optional[Sequence[float]], count: int
) -> List[float]:
    if how != 'weighted':
        if weights is not None:
            raise ValueError(f"weights need how='weighted', got {how!r}")
        return [1 / count] * count
    given = [check_number('weights', one, 0) for one in weights or ()]
    if len(given) != count or not sum(given):
        raise ValueError(
            f'weights must be {count} numbers whose sum is above 0, one per '
            f'adapter, got {given}'
        )
    return [one / sum(given) for one in given]


def _vote(bits: List[Tensor], how: str, shares: List[float]) -> Tensor:
    if how == 'and':
        return torch.stack(bits).all(dim=0)
    if how == 'or':
        return torch.stack(bits).any(dim=0)
    total = sum(share * on.double() for share, on in zip(shares, bits))
    return total > 0.5 + 1e-12
