# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""RankMe: the effective rank of features."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mask_plugins.utils.checked import checked
from mask_plugins.utils.checks import check_choice, check_int, check_number

from .feature_vectors import check_rows

NORMALIZE = ('none', 'row')


@torch.no_grad()
@checked
def rankme(
    features: Tensor, normalize: str = 'none', eps: float = 1e-7
) -> float:
    """Effective rank of a matrix of features, by SVD in fp64.

    "RankMe: Assessing the Downstream Performance of Pretrained
    Self-Supervised Representations by Their Rank" (Garrido et al., ICML 2023,
    https://arxiv.org/abs/2210.02885), equation 1. For more rows than fit into
    memory, add up Gram matrices and see :func:`gram_singular_values`.

    Args:
        features (Tensor): :math:`(N, D)`.
        normalize (str): See :func:`normalize_rows`. Defaults to ``'none'``,
            the paper's definition.
        eps (float): See :func:`effective_rank`. Defaults to 1e-7.

    Returns:
        float: About 1 to min(N, D); NaN if a feature is not finite.

    Raises:
        ValueError: If the shape is not (N, D), or ``normalize`` is unknown.

    Examples:
        >>> import torch
        >>> round(rankme(torch.eye(3)), 3)
        3.0
        >>> round(rankme(torch.ones(5, 3)), 3)
        1.0
    """
    check_rows('features', features)
    rows = normalize_rows(features.detach().double(), normalize)
    if not rows.isfinite().all():
        return float('nan')
    return effective_rank(torch.linalg.svdvals(rows), eps)


def normalize_rows(features: Tensor, normalize: str) -> Tensor:
    """Rows as RankMe takes them.

    Args:
        features (Tensor): :math:`(N, D)`.
        normalize (str): ``'none'``, or ``'row'`` for rows of length 1; a row
            of zeros stays zero.

    Raises:
        ValueError: If it is neither.
    """
    check_choice('normalize', normalize, NORMALIZE)
    return features if normalize == 'none' else F.normalize(features)


@torch.no_grad()
def gram_singular_values(gram: Tensor, count: int) -> Tensor:
    r"""Singular values of the rows Z of which the Gram matrix is known.

    :math:`Z^T Z` can be summed over batches and processes in constant
    memory. In fp64 its eigenvalues lose singular values below about 1e-8 of
    the largest; what rounding leaves of these is set to 0, so that the
    effective rank is that of a full SVD to 1e-6, also for a collapsed Z.

    Args:
        gram (Tensor): :math:`Z^T Z`, fp64 :math:`(D, D)`.
        count (int): Number of rows N.

    Returns:
        Tensor: fp64 :math:`(min(N, D),)`, the largest first; NaN if a row was
        not finite.
    """
    check_int('count', count, 1)
    if not gram.isfinite().all():
        return gram.new_full((min(count, len(gram)),), torch.nan)
    values = torch.linalg.eigvalsh(gram).flip(0)[:count]  # K
    # Eigenvalues are exact to some eps of the largest.
    noise = 4 * torch.finfo(gram.dtype).eps * values[0]
    return values.masked_fill(values <= noise, 0).sqrt()


def effective_rank(singular_values: Tensor, eps: float = 1e-7) -> float:
    r"""Exponential of the entropy of singular values.

    :math:`\exp(-\sum_k p_k \log p_k)` with
    :math:`p_k = \sigma_k / \|\sigma\|_1 + \epsilon`, not normalized again, as
    in the paper; the result can be above the rank by about :math:`16
    K \epsilon` of it.

    Args:
        singular_values (Tensor): :math:`(K,)`; if all are 0, the result is
            about 1.
        eps (float): Defaults to 1e-7, the paper's for fp32.

    Returns:
        float: NaN if one is not finite.
    """
    eps = check_number('eps', eps, 0)
    total = singular_values.sum()
    tiny = torch.finfo(singular_values.dtype).tiny
    share = singular_values / total.clamp_min(tiny) + eps
    return float((-(share * share.log()).sum()).exp())
