# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One representation from the embeddings of a dispatcher and its experts."""

from typing import Iterator, NamedTuple, Optional, Sequence

import torch
from torch import Tensor

from mask_plugins.utils.checks import check_choice

METHODS = (
    'baseline',
    'replace',
    'add_conditional',
    'add_unconditional',
    'conditional',
    'unconditional',
    'pca_conditional',
    'pca_unconditional',
    'pca_conditional_white',
    'pca_unconditional_white',
)
_BLOCK = 4096  # rows that are concatenated at a time


class Combination(NamedTuple):
    """How embeddings are combined, fitted on a training set.

    "Self-Masking Networks for Unsupervised Adaptation" (Warmerdam et al.,
    GCPR 2024), section 3.4. ``conditional`` keeps, of the experts, the one of
    the image's cluster; the dispatcher always counts.

    Args:
        method (str): One of :data:`METHODS`.

            - ``baseline``: the dispatcher; ``replace``: the expert.
            - ``add_*``: the sum.
            - ``conditional``, ``unconditional``: one after the other.
            - ``pca_*``: the first F principal components of these, each
              scaled to :math:`1 / s`, as the original calls it; with
              ``_white`` it does *not* scale them. Training and test set go
              through the same formula.
        mean (Tensor, optional): Of the concatenation, for ``pca_*``.
        projection (Tensor, optional): To the components, for ``pca_*``.

    Examples:
        >>> parts = [torch.ones(2, 3), torch.ones(2, 3), 2 * torch.ones(2, 3)]
        >>> found = fit_combination(parts, torch.tensor([0, 1]), 'replace')
        >>> found(parts, torch.tensor([0, 1]))[:, 0].tolist()
        [1.0, 2.0]
    """

    method: str
    mean: Optional[Tensor] = None
    projection: Optional[Tensor] = None

    def __call__(self, parts: Sequence[Tensor], clusters: Tensor) -> Tensor:
        """Combine.

        Args:
            parts (Sequence[Tensor]): Of the dispatcher, then of each expert,
                not normalized, :math:`(N, F)`. Experts that a conditional
                method does not ask for may be anything, 0 too.
            clusters (Tensor): int64 :math:`(N,)`.

        Returns:
            Tensor: :math:`(N, F)`, for ``*conditional`` without PCA
            :math:`(N, F (1 + C))`.
        """
        first, experts = parts[0], parts[1:]
        if self.method == 'baseline':
            return first
        if self.method == 'replace':
            return _of_cluster(experts, clusters)
        if self.method == 'add_conditional':
            return first + _of_cluster(experts, clusters)
        if self.method == 'add_unconditional':
            return torch.stack(tuple(parts)).sum(dim=0)
        keep = 'unconditional' in self.method
        blocks = _concatenated(parts, clusters, keep)
        if self.projection is None:
            return torch.cat([*blocks])
        mean, projection = (
            part.to(first.device) for part in (self.mean, self.projection)
        )
        rows = [(block.double() - mean) @ projection for block in blocks]
        return torch.cat(rows).to(first.dtype)


@torch.no_grad()
def fit_combination(
    parts: Sequence[Tensor],
    clusters: Tensor,
    method: str,
    eps: float = 1e-7,
) -> Combination:
    """Fit a combination on the embeddings of a training set.

    The principal components are exact: the eigenvectors of the covariance,
    which is summed in fp64 over blocks of rows. Memory is that of the
    embeddings plus :math:`(F (1 + C))^2`; they are never concatenated whole.

    Args:
        parts (Sequence[Tensor]): See :class:`Combination`.
        clusters (Tensor): Of the training images, int64 :math:`(N,)`.
        method (str): One of :data:`METHODS`.
        eps (float): Components whose singular value is below this share of
            the largest are left out. Defaults to 1e-7.

    Raises:
        ValueError: If ``method`` is unknown, shapes differ, or a cluster has
            no expert.

    Examples:
        >>> parts = [torch.randn(50, 4) for _ in range(3)]
        >>> clusters = torch.arange(50) % 2
        >>> combine = fit_combination(parts, clusters, 'pca_unconditional')
        >>> combine(parts, clusters).square().sum(0).round().tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    check_choice('method', method, METHODS)
    shapes = {tuple(part.shape) for part in parts}
    if len(shapes) != 1 or len(clusters) != len(parts[0]) or len(parts) < 2:
        raise ValueError(
            'parts must be those of a dispatcher and its experts, all (N, F) '
            f'like clusters (N,), got {sorted(shapes)}, {len(parts)} parts '
            f'and {len(clusters)} clusters'
        )
    if (
        len(clusters)
        and not 0
        <= int(clusters.min())
        <= int(clusters.max())
        < len(parts) - 1
    ):
        raise ValueError(
            f'clusters must be 0 to {len(parts) - 2}, that of an expert each, '
            f'got {int(clusters.min())} to {int(clusters.max())}'
        )
    if not method.startswith('pca_'):
        return Combination(method)
    keep = 'unconditional' in method
    total, gram, count = 0, 0, len(clusters)
    for block in _concatenated(parts, clusters, keep):
        rows = block.double()
        total, gram = total + rows.sum(dim=0), gram + rows.T @ rows
    mean = total / count
    values, vectors = torch.linalg.eigh(gram - count * torch.outer(mean, mean))
    largest = torch.arange(len(values) - 1, -1, -1)[: parts[0].shape[1]]
    singular = values[largest].clamp_min(0).sqrt()
    kept = singular > eps * singular.max()
    projection = vectors[:, largest][:, kept]
    if not method.endswith('_white'):
        projection = projection / singular[kept]
    return Combination(method, mean, projection)


def _of_cluster(experts: Sequence[Tensor], clusters: Tensor) -> Tensor:
    rows = torch.zeros_like(experts[0])
    for index, expert in enumerate(experts):
        rows[clusters == index] = expert[clusters == index]
    return rows


def _concatenated(
    parts: Sequence[Tensor], clusters: Tensor, keep: bool
) -> Iterator[Tensor]:
    """Rows of (N, F (1 + C)), some at a time."""
    for start in range(0, max(len(clusters), 1), _BLOCK):
        block = [part[start : start + _BLOCK] for part in parts]
        mine = clusters[start : start + _BLOCK, None]
        yield torch.cat(
            [
                part
                if keep or not index
                else part.where(mine == index - 1, torch.zeros_like(part))
                for index, part in enumerate(block)
            ],
            dim=1,
        )
