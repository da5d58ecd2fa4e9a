# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How many tokens are kept, and which."""

import torch
from torch import Tensor

from mask_plugins.utils.checks import check_choice, check_int, check_ratio

COUNT_ON = ('tokens', 'patches')
TOKEN_ORDERS = ('score', 'index')


def keep_count(
    num_tokens: int,
    drop_ratio: float,
    num_prefix_tokens: int = 1,
    count_on: str = 'tokens',
    min_patches: int = 1,
) -> int:
    """How many tokens are kept, prefix tokens included.

    The original counts on all tokens, ``round((1 - d) * N)`` with Python's
    half-even rounding, so that the prefix takes its share of what is kept:
    at N = 197 and d = 0.8, 38 of 196 patches are kept (19.4 %).

    Args:
        num_tokens (int): N, prefix tokens included.
        drop_ratio (float): d, the share dropped, in [0, 1).
        num_prefix_tokens (int): Tokens that are never dropped. Defaults to 1.
        count_on (str): ``'tokens'``, the original's count, or ``'patches'``,
            ``prefix + round((1 - d) * P)``. Defaults to ``'tokens'``.
        min_patches (int): Patches that stay however high d is; the original
            has 0, whose mean over no patch is NaN. Defaults to 1.

    Returns:
        int: n, the same for every image, so that shapes are static per d.

    Raises:
        TypeError: If ``drop_ratio`` is not a number.
        ValueError: If ``drop_ratio`` is outside [0, 1), ``count_on`` is
            unknown, or fewer than ``min_patches`` patches exist.

    Examples:
        >>> [keep_count(197, d) for d in (0.0, 0.2, 0.4, 0.6, 0.8)]
        [197, 158, 118, 79, 39]
    """
    drop_ratio = check_ratio('drop_ratio', drop_ratio, ends='[)')
    check_choice('count_on', count_on, COUNT_ON)
    check_int('num_tokens', num_tokens, 1)
    check_int('num_prefix_tokens', num_prefix_tokens, 0)
    check_int('min_patches', min_patches, 0)
    patches = num_tokens - num_prefix_tokens
    if patches < min_patches:
        raise ValueError(
            f'num_tokens={num_tokens} with num_prefix_tokens='
            f'{num_prefix_tokens} leaves {patches} patches; at least '
            f'min_patches={min_patches} are needed'
        )
    if count_on == 'tokens':
        kept = round((1 - drop_ratio) * num_tokens) - num_prefix_tokens
    else:
        kept = round((1 - drop_ratio) * patches)
    return num_prefix_tokens + min(max(kept, min_patches), patches)


def select_tokens(
    scores: Tensor,
    num_keep: int,
    num_prefix_tokens: int = 1,
    order: str = 'score',
) -> Tensor:
    """Which tokens are kept: the prefix, then those with the highest scores.

    The sort is stable: of equal scores the lower index comes first. Indices
    carry no gradient.

    Args:
        scores (Tensor): Score of each patch, :math:`(B, P)`.
        num_keep (int): n, tokens to keep, prefix tokens included.
        num_prefix_tokens (int): Prefix tokens before the patches.
            Defaults to 1.
        order (str): Order of the kept patches: ``'score'``, highest first as
            in the original, or ``'index'``. Defaults to ``'score'``.

    Returns:
        Tensor: int64 indices into the N tokens, :math:`(B, n)`.

    Raises:
        ValueError: If ``scores`` are no real numbers (B, P), ``order`` is
            unknown, or ``num_keep`` is less than the prefix or more than all
            tokens.

    Examples:
        >>> scores = torch.tensor([[0.1, 0.9, 0.5, 0.7]])
        >>> select_tokens(scores, num_keep=3)
        tensor([[0, 2, 4]])
    """
    check_choice('order', order, TOKEN_ORDERS)
    check_int('num_prefix_tokens', num_prefix_tokens, 0)
    if scores.ndim != 2 or scores.is_complex():
        raise ValueError(
            'scores must be real numbers of shape (B, P), got '
            f'{scores.dtype} of shape {tuple(scores.shape)}'
        )
    batch, patches = scores.shape
    most = num_prefix_tokens + patches
    name = 'num_keep (num_prefix_tokens included)'
    check_int(name, num_keep, num_prefix_tokens, most)
    # Sorted in fp32 and on detached scores: the order has no gradient.
    ranked = scores.detach().float()
    ranked = torch.argsort(ranked, dim=1, descending=True, stable=True)
    kept = ranked[:, : num_keep - num_prefix_tokens]  # B, n - prefix
    if order == 'index':
        kept = kept.sort(dim=1).values
    prefix = torch.arange(num_prefix_tokens, device=scores.device)
    prefix = prefix.expand(batch, -1)
    return torch.cat((prefix, kept + num_prefix_tokens), dim=1)
