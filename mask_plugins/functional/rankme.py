# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""RankMe: the effective rank of features."""

import torch
import torch.nn.functional as F
from torch import Tensor

NORMALIZE = ('none', 'row')


@torch.no_grad()
def rankme(
    features: Tensor, normalize: str = 'none', eps: float = 1e-7
) -> float:
    """Effective rank of a matrix of features, in fp64.

    "RankMe: Assessing the Downstream Performance of Pretrained
    Self-Supervised Representations by Their Rank" (Garrido et al., ICML 2023,
    https://arxiv.org/abs/2210.02885), equation 1. For more rows than fit into
    memory see :class:`mask_plugins.functional.gram_factor.GramFactor`.

    Args:
        features (Tensor): :math:`(N, D)`.
        normalize (str): See :func:`normalize_rows`. Defaults to ``'none'``,
            the paper's definition.
        eps (float): See :func:`effective_rank`. Defaults to 1e-7.

    Returns:
        float: About 1 to min(N, D); NaN where a feature is not finite.

    Raises:
        ValueError: If the shape or ``normalize`` is another.
    """
    if features.ndim != 2 or not len(features):
        raise ValueError(
            'features must have shape (N, D) with N of at least 1, got '
            f'{tuple(features.shape)}'
        )
    rows = normalize_rows(features.detach().double(), normalize)
    if not rows.isfinite().all():
        return float('nan')
    return effective_rank(torch.linalg.svdvals(rows), eps)


def normalize_rows(features: Tensor, normalize: str) -> Tensor:
    """Rows as RankMe takes them.

    Args:
        features (Tensor): :math:`(N, D)`.
        normalize (str): ``'none'``, or ``'row'`` for rows of length 1; a row
            of zeros stays one.

    Raises:
        ValueError: If it is neither.
    """
    if normalize not in NORMALIZE:
        raise ValueError(
            f'normalize must be one of {NORMALIZE}, got {normalize!r}'
        )
    return features if normalize == 'none' else F.normalize(features)


def effective_rank(singular_values: Tensor, eps: float = 1e-7) -> float:
    r"""Exponential of the entropy of singular values.

    :math:`\exp(-\sum_k p_k \log p_k)` with
    :math:`p_k = \sigma_k / \|\sigma\|_1 + \epsilon`, not normalized again, as
    in the paper; so the result can be above the rank by about :math:`16
    K \epsilon` of it.

    Args:
        singular_values (Tensor): :math:`(K,)`; all may be 0, which gives
            about 1.
        eps (float): Defaults to 1e-7, the paper's for fp32.

    Returns:
        float: NaN where one is not finite.
    """
    total = singular_values.sum()
    tiny = torch.finfo(singular_values.dtype).tiny
    share = singular_values / total.clamp_min(tiny) + eps
    return float((-(share * share.log()).sum()).exp())
