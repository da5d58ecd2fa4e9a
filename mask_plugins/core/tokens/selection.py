# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How many tokens are kept, and which."""

import torch
from torch import Tensor

COUNT_ON = ('tokens', 'patches')
TOKEN_ORDERS = ('score', 'index')


def check_drop_ratio(drop_ratio: float, name: str = 'drop_ratio') -> float:
    """Return ``drop_ratio`` as a float if it is in [0, 1).

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is outside [0, 1).
    """
    if isinstance(drop_ratio, bool) or not isinstance(
        drop_ratio, (int, float)
    ):
        raise TypeError(
            f'{name} must be a number in [0, 1), got {drop_ratio!r} '
            f'({type(drop_ratio).__name__})'
        )
    if not 0 <= drop_ratio < 1:
        raise ValueError(f'{name} must be in [0, 1), got {drop_ratio}')
    return float(drop_ratio)


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
    """
    check_drop_ratio(drop_ratio)
    patches = num_tokens - num_prefix_tokens
    if num_prefix_tokens < 0 or patches < min_patches:
        raise ValueError(
            f'num_tokens={num_tokens} with num_prefix_tokens='
            f'{num_prefix_tokens} leaves {patches} patches; at least '
            f'{min_patches} are needed'
        )
    if count_on == 'tokens':
        kept = round((1 - drop_ratio) * num_tokens) - num_prefix_tokens
    elif count_on == 'patches':
        kept = round((1 - drop_ratio) * patches)
    else:
        raise ValueError(
            f'count_on must be one of {COUNT_ON}, got {count_on!r}'
        )
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
    """
    if order not in TOKEN_ORDERS:
        raise ValueError(f'order must be one of {TOKEN_ORDERS}, got {order!r}')
    batch, patches = scores.shape
    num_patches = num_keep - num_prefix_tokens
    if not 0 <= num_patches <= patches:
        raise ValueError(
            f'num_keep={num_keep} must be in [{num_prefix_tokens}, '
            f'{num_prefix_tokens + patches}]'
        )
    # Sorted in fp32 and on detached scores: the order has no gradient.
    ranked = scores.detach().float()
    ranked = torch.argsort(ranked, dim=1, descending=True, stable=True)
    kept = ranked[:, :num_patches]  # B, n - prefix
    if order == 'index':
        kept = kept.sort(dim=1).values
    prefix = torch.arange(num_prefix_tokens, device=scores.device)
    prefix = prefix.expand(batch, -1)
    return torch.cat((prefix, kept + num_prefix_tokens), dim=1)
