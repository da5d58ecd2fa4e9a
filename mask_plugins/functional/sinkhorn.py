# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Balanced soft assignments of samples to prototypes (Sinkhorn-Knopp)."""

import torch
import torch.distributed as dist
from torch import Tensor

from mask_plugins.utils.checks import check_number, check_size


@torch.no_grad()
def sinkhorn(
    scores: Tensor, epsilon: float = 0.05, iterations: int = 3
) -> Tensor:
    r"""Assign samples to prototypes so that prototypes are used equally.

    Algorithm 1 of "Unsupervised Learning of Visual Features by Contrasting
    Cluster Assignments" (Caron et al., NeurIPS 2020,
    https://arxiv.org/abs/2006.09882): :math:`\exp(scores / \epsilon)` is
    scaled in turn so that prototypes, then samples, have equal weight. It is
    computed in the log domain, in fp32 or better: no score is too large, and
    a prototype far from all samples gets its share instead of 0 / 0.

    In a distributed run each rank passes its own samples, and the prototypes
    are balanced over those of all ranks: every rank must call it, with as
    many prototypes and iterations. The number of samples may differ.

    Args:
        scores (Tensor): Similarities of samples and prototypes,
            :math:`(B, K)`.
        epsilon (float): Smoothness, above 0. Defaults to 0.05.
        iterations (int): Of the alternation. Defaults to 3.

    Returns:
        Tensor: :math:`(B, K)`; rows sum to 1. A row of scores with NaN or
        infinity is NaN and takes no part in the balance of the others.

    Raises:
        TypeError, ValueError: If ``scores`` is not (B, K) with a K of at
            least 1, or ``epsilon`` or ``iterations`` is out of range.

    Examples:
        >>> import torch
        >>> q = sinkhorn(torch.tensor([[1.0, 0.9], [1.0, 0.0]]))
        >>> [[round(x, 2) for x in row] for row in q.tolist()]
        [[0.14, 0.86], [1.0, 0.0]]
    """
    epsilon = check_number('epsilon', epsilon, 0, ends='()')
    check_size('iterations', iterations)
    if scores.ndim != 2 or not scores.shape[1]:
        raise ValueError(
            'scores must have shape (B, K) with K of at least 1, got '
            f'{tuple(scores.shape)}'
        )
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    valid = scores.isfinite().all(dim=1, keepdim=True)  # Bx1
    log_q = (scores / epsilon).masked_fill(~valid, -torch.inf)  # BxK
    for _ in range(iterations):
        log_q = log_q - _log_sum_over_samples(log_q)
        log_q = log_q - log_q.logsumexp(dim=1, keepdim=True)
        # Of a row that takes no part: -inf - -inf.
        log_q = log_q.masked_fill(~valid, -torch.inf)
    return log_q.exp().masked_fill(~valid, torch.nan)


def _log_sum_over_samples(log_q: Tensor) -> Tensor:
    """Logarithm of the weight of each prototype, over all ranks: (K,)."""
    total = log_q.logsumexp(dim=0)
    if dist.is_available() and dist.is_initialized():
        # The same sum in the same order on all ranks, as none is reduced.
        parts = [torch.empty_like(total) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, total)
        total = torch.stack(parts).logsumexp(dim=0)
    # Without any valid sample there is nothing to balance.
    return total.masked_fill(total == -torch.inf, 0)
