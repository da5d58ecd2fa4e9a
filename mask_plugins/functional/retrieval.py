# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How well do images find others of their class?

Every measure is a function of ``hits`` (does the neighbor at this rank have
the query's class?) and ``relevant`` (how many such there are), whatever has
ranked them.
"""

from typing import Dict, Optional, Sequence, Tuple

import torch
from torch import Tensor

from mask_plugins.utils.checked import checked
from mask_plugins.utils.checks import check_choice, check_int

from .feature_vectors import check_rows
from .neighbors import top_k_neighbors

# So many neighbors (value and index) are held at a time: 768 MiB.
HELD = 2**26


def map_at_r(hits: Tensor, relevant: Tensor) -> Tensor:
    """Mean over the first R ranks of the precision where there is a hit.

    Musgrave et al., "A Metric Learning Reality Check", arXiv:2003.08505.

    Args:
        hits (Tensor): bool :math:`(Q, K)`, K at least the largest R.
        relevant (Tensor): R of each query, :math:`(Q,)`.

    Returns:
        Tensor: fp64 :math:`(Q,)`.
    """
    first = _first(hits, relevant)
    return (_precisions(hits) * first).sum(dim=1) / relevant


def average_precision(
    hits: Tensor, relevant: Tensor, k: Optional[int] = None
) -> Tensor:
    """Precision at each hit among the first k, over R.

    With all ranks this is AP; mmpretrain's ``RetrievalAveragePrecision`` in
    mode IR divides by R at any k too.

    Args:
        hits (Tensor): bool :math:`(Q, K)`.
        relevant (Tensor): R of each query, :math:`(Q,)`.
        k (int, optional): Defaults to None, all.
    """
    check_int('k', k, 1, optional=True)
    hits = hits[:, :k]
    return (_precisions(hits) * hits).sum(dim=1) / relevant


def authors_average_precision(hits: Tensor, k: int) -> Tensor:
    """AP of the first k over the hits *among these k*, as in HGSL's code.

    It does not see relevant images that are missing from the first k, so it
    is higher than any standard AP: never compare the two.
    """
    check_int('k', k, 1)
    return average_precision(hits, hits[:, :k].sum(dim=1).clamp_min(1), k)


def retrieval_scores(
    hits: Tensor,
    relevant: Tensor,
    ks: Sequence[int] = (1, 2, 4, 8),
    measures: Sequence[str] = ('recall', 'r_precision', 'map_at_r'),
) -> Dict[str, Tensor]:
    """Measures of each query.

    Args:
        hits (Tensor): bool :math:`(Q, K)`, nearest first.
        relevant (Tensor): Images of the query's class in the gallery, without
            itself, :math:`(Q,)`, at least 1.
        ks (Sequence[int]): For the measures at k. A k beyond K is all ranks.
            Defaults to (1, 2, 4, 8).
        measures (Sequence[str]): Of ``recall`` and ``precision`` at k,
            ``r_precision``, ``map_at_r``, ``map``, and ``authors_map`` at k.
            Defaults to three for which a k-NN search is enough.

    Returns:
        dict[str, Tensor]: Name -> fp64 :math:`(Q,)` in [0, 1], such as
        ``recall@8`` and ``map_at_r``.
    """
    scores = {}
    for name in measures:
        if name in AT_K:
            of = AT_K[name]
            scores.update({f'{name}@{k}': of(hits, k).double() for k in ks})
        else:
            scores[name] = OF_RANKING[name](hits, relevant).double()
    return scores


AT_K = dict(
    recall=lambda hits, k: hits[:, :k].any(dim=1),
    precision=lambda hits, k: hits[:, :k].double().sum(dim=1) / k,
    authors_map=authors_average_precision,
)
OF_RANKING = dict(
    r_precision=lambda hits, r: _first(hits, r).double().sum(dim=1) / r,
    map_at_r=map_at_r,
    map=average_precision,
)
MEASURES = (*AT_K, *OF_RANKING)


@checked
def evaluate_retrieval(
    query: Tensor,
    query_labels: Tensor,
    gallery: Optional[Tensor] = None,
    gallery_labels: Optional[Tensor] = None,
    ks: Sequence[int] = (1, 2, 4, 8),
    measures: Sequence[str] = ('recall', 'r_precision', 'map_at_r'),
    metric: str = 'cosine',
    chunk: int = 1024,
) -> Dict[str, float]:
    """Measures of embeddings, averaged over the queries.

    Without a gallery every image is sought among all others: it is excluded
    by its index, and a copy of it under another index is an ordinary
    neighbor. Equal similarities rank by index. A query whose class has no
    other image is left out; ``queries`` says how many count.

    Memory besides the embeddings is a block of ``chunk`` x 16,384 similarities
    and the neighbors of at most ``chunk`` queries: as many as the largest
    class has images (or the largest k), all of the gallery for ``map``.

    Args:
        query (Tensor): :math:`(Q, D)`.
        query_labels (Tensor): int64 :math:`(Q,)`.
        gallery (Tensor, optional): :math:`(N, D)`. Defaults to None.
        gallery_labels (Tensor, optional): int64 :math:`(N,)`.
        ks (Sequence[int]): See :func:`retrieval_scores`.
        measures (Sequence[str]): See :func:`retrieval_scores`.
        metric (str): ``'cosine'``, ``'dot'`` or ``'euclidean'``.
        chunk (int): Queries at a time. Defaults to 1024.

    Returns:
        dict[str, float]: In percent, except ``queries``.

    Raises:
        ValueError: If a shape, a k, a measure or ``chunk`` is wrong, the
            gallery is empty or lacks its labels, an embedding is not finite,
            or no query has another image of its class.

    Examples:
        >>> import torch
        >>> rows = torch.eye(4).repeat_interleave(2, dim=0)
        >>> labels = torch.arange(4).repeat_interleave(2)
        >>> evaluate_retrieval(rows, labels, ks=(1,), measures=['recall'])
        {'recall@1': 100.0, 'queries': 8}
    """
    check_int('chunk', chunk, 1)
    alone = gallery is None
    if alone != (gallery_labels is None):
        given, lacks = ('labels', 'rows') if alone else ('rows', 'labels')
        raise ValueError(
            f'gallery and gallery_labels belong together, got {given} '
            f'without {lacks}'
        )
    if alone:
        gallery, gallery_labels = query, query_labels
    check_rows('query', query, query_labels, finite=True)
    check_rows('gallery', gallery, gallery_labels, finite=True)
    check_measures(ks, measures)
    counts = _relevant(query_labels, gallery_labels) - int(alone)
    sought = (counts > 0).nonzero()[:, 0]
    if not len(sought):
        raise ValueError(
            'no query has another image of its class in the gallery: '
            f'{len(query)} queries, {len(gallery)} images'
        )
    most = len(gallery) - int(alone)
    needed = max(max(ks), int(counts.max()))
    k = most if 'map' in measures else min(needed, most)
    size = min(chunk, max(1, HELD // k))
    parts = []
    for rows in sought.split(size):
        _, found = top_k_neighbors(
            query[rows],
            gallery,
            k,
            metric,
            chunk,
            exclude=rows if alone else None,
        )
        hits = gallery_labels[found] == query_labels[rows, None]
        parts.append(retrieval_scores(hits, counts[rows], ks, measures))
    return dict(mean_scores(parts), queries=len(sought))


def mean_scores(parts: Sequence[Dict[str, Tensor]]) -> Dict[str, float]:
    """The means, in percent, of parts that :func:`retrieval_scores` gave."""
    return {
        name: 100 * torch.cat([part[name] for part in parts]).mean().item()
        for name in parts[0]
    }


def check_measures(ks: Sequence[int], measures: Sequence[str]) -> None:
    """Refuse unknown measures and ranks below 1.

    Raises:
        TypeError, ValueError: If there are such, or none at all.
    """
    # Without any, the check of None says what is allowed.
    for k in ks or (None,):
        check_int('ks', k, 1)
    for name in measures or (None,):
        check_choice('measures', name, MEASURES)


def _relevant(query_labels: Tensor, gallery_labels: Tensor) -> Tensor:
    """How many images of the gallery have each query's label, (Q,)."""
    names, counts = gallery_labels.unique(return_counts=True)
    where = torch.searchsorted(names, query_labels).clamp_max(len(names) - 1)
    return counts[where] * (names[where] == query_labels)


def _first(hits: Tensor, relevant: Tensor) -> Tensor:
    """Hits among the first R, as many as each query has."""
    rank = torch.arange(hits.shape[1], device=hits.device)
    return hits & (rank < relevant[:, None])


def _precisions(hits: Tensor) -> Tensor:
    """Precision at every rank, (Q, K)."""
    ranks = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    return hits.cumsum(dim=1).double() / ranks


def hits_of_ranking(
    similarity: Tensor, relevant: Tensor, most: Optional[int], own: int = -1
) -> Tuple[Tensor, int]:
    """Hits of one query whose similarities are known.

    Args:
        similarity (Tensor): With each of the gallery, :math:`(N,)`.
        relevant (Tensor): int64, gallery indices of its class.
        most (int, optional): Ranks that matter in addition to the
            relevant ones. None is all.
        own (int): Its own index, which is left out. Defaults to -1, none.

    Returns:
        tuple[Tensor, int]: Hits, nearest first, bool :math:`(K,)`, and the
        number of relevant images.
    """
    wanted = torch.zeros(len(similarity), dtype=torch.bool)
    wanted[relevant.cpu()] = True
    order = similarity.cpu().sort(descending=True, stable=True).indices
    if own >= 0:
        wanted[own] = False
        order = order[order != own]
    count = int(wanted.sum())
    if most is not None:
        order = order[: max(most, count)]
    return wanted[order], count
