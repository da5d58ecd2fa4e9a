# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Weighted vote of the nearest neighbors."""

from typing import Optional

import torch
from torch import Tensor

from mask_plugins.utils.checked import checked
from mask_plugins.utils.checks import check_int, check_number, check_size

from .feature_vectors import check_rows
from .neighbors import best_of_rows, top_k_neighbors


@torch.no_grad()
@checked
def knn_predict(
    query: Tensor,
    bank: Tensor,
    labels: Tensor,
    k: int = 200,
    temperature: float = 0.1,
    top: int = 1,
    exclude: Optional[Tensor] = None,
    chunk: int = 1024,
) -> Tensor:
    """Classes that the neighbors of a feature vote for.

    "Unsupervised Feature Learning via Non-Parametric Instance Discrimination"
    (Wu et al., CVPR 2018), section 3.4: of the k neighbors with the highest
    cosine, each votes for its class with exp(cosine / T). Of classes with
    equal votes the lower comes first.

    Args:
        query (Tensor): :math:`(Q, D)`, of any length.
        bank (Tensor): :math:`(N, D)`, on the same device.
        labels (Tensor): Class of each row of the bank, int64 :math:`(N,)`.
        k (int): Neighbors; all of a smaller bank. Defaults to 200.
        temperature (float): T, above 0. Defaults to 0.1.
        top (int): Classes per query. Defaults to 1.
        exclude (Tensor, optional): See
            :func:`mask_plugins.functional.neighbors.top_k_neighbors`.
        chunk (int): Queries at a time. Defaults to 1024.

    Returns:
        Tensor: int64 :math:`(Q, top)`, the class with the most votes first;
        -1 where no further class got a vote, as where the query is not
        finite.

    Raises:
        ValueError: If shapes do not fit, a label is negative, ``k`` or
            ``temperature`` is out of range, or the bank has no row that may
            vote.

    Examples:
        >>> import torch
        >>> bank = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> labels = torch.tensor([4, 4, 2])
        >>> knn_predict(torch.tensor([[3.0, 0.0]]), bank, labels).tolist()
        [[4]]
    """
    check_rows('bank', bank, labels)
    check_int('the least of the labels', int(labels.min()), 0)
    check_int('k', k, 1)
    check_size('top', top)
    temperature = check_number('temperature', temperature, 0, ends='()')
    most = len(bank) - (exclude is not None)
    if most < 1:
        raise ValueError('the bank needs at least one image besides the query')
    near, where = top_k_neighbors(
        query, bank, min(k, most), chunk=chunk, exclude=exclude
    )
    # A vote per class that is there, however high its number is.
    names, labels = labels.unique(return_inverse=True)
    found = where.new_full((len(query), top), -1)
    for start in range(0, len(query), chunk):
        rows = slice(start, start + chunk)
        # The same factor for all votes of a query; exp cannot overflow.
        weights = ((near[rows] - near[rows, :1]) / temperature).exp()
        weights.nan_to_num_(0)
        votes = weights.new_zeros(len(weights), len(names))  # BxC
        votes.scatter_add_(1, labels[where[rows]], weights)
        votes, order = best_of_rows(votes, min(top, len(names)))
        best = names[order].masked_fill(votes <= 0, -1)
        found[rows, : order.shape[1]] = best
    return found
