# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""LiDAR: the effective rank of what tells images apart."""

import torch
from torch import Tensor

from mask_plugins.utils.checks import check_number, check_size

from .rankme import effective_rank


@torch.no_grad()
def lidar(
    gram: Tensor, means: Tensor, views: int, delta: float = 1e-4
) -> float:
    r"""Effective rank of the linear discriminant matrix of embeddings.

    "LiDAR: Sensing Linear Probing Performance in Joint Embedding SSL
    Architectures" (Thilak et al., ICLR 2024,
    https://arxiv.org/abs/2312.04000), equations 1 to 4: each image is a class
    of its own, whose samples are q augmented views. With the covariance
    :math:`\Sigma_b` of the class means and the mean covariance
    :math:`\Sigma_w` within classes, it is RankMe's measure of the eigenvalues
    of :math:`(\Sigma_w + \delta I)^{-1/2} \Sigma_b
    (\Sigma_w + \delta I)^{-1/2}`.

    Embeddings need not be in memory: the Gram matrix can be summed batch by
    batch, as that of :class:`mask_plugins.RankMe`.

    Args:
        gram (Tensor): :math:`Z^T Z` of all embeddings, fp64 :math:`(D, D)`.
        means (Tensor): Mean embedding of each image, fp64 :math:`(n, D)`.
        views (int): Views of each image, q.
        delta (float): Added to the diagonal, above 0. Defaults to 1e-4, the
            paper's.

    Returns:
        float: About 1 to min(n - 1, D); NaN if something is not finite.

    Raises:
        TypeError, ValueError: If ``delta`` is not above 0, or the shapes or
            the values do not fit.

    Examples:
        >>> import torch
        >>> views = torch.eye(3, dtype=torch.float64).repeat(5, 1)  # 5 of each
        >>> means = torch.eye(3, dtype=torch.float64)
        >>> round(lidar(views.T @ views, means, views=5), 3)
        2.0
    """
    delta = check_number('delta', delta, 0, 1e30, '(]')
    check_size('views', views)
    if gram.shape != (means.shape[1],) * 2 or len(means) < 2:
        raise ValueError(
            'means must have shape (n, D) with n of at least 2, and gram '
            f'(D, D), got {tuple(means.shape)} and {tuple(gram.shape)}'
        )
    if not (gram.isfinite().all() and means.isfinite().all()):
        return float('nan')
    count = len(means)
    centered = means - means.mean(dim=0)
    between = centered.T @ centered / count
    within = gram / (count * views) - means.T @ means / count
    within.diagonal().add_(delta)
    # The eigenvalues are those of a generalized problem: with L L^T = within,
    # of L^-1 between L^-T.
    lower, failed = torch.linalg.cholesky_ex(within)
    if failed:
        raise ValueError(
            f'gram and means must be those of views={views} embeddings of '
            'each image, but gram is less than its part of the means'
        )
    half = torch.linalg.solve_triangular(lower, between, upper=False)
    whitened = torch.linalg.solve_triangular(lower, half.T, upper=False)
    values = torch.linalg.eigvalsh(whitened).clamp_min(0)
    return effective_rank(values)
