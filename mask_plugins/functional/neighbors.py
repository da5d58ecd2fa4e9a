# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Exact nearest neighbors in bounded memory."""

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mask_plugins.utils.checks import check_choice, check_int

METRICS = ('cosine', 'dot', 'euclidean')


@torch.no_grad()
def top_k_neighbors(
    query: Tensor,
    gallery: Tensor,
    k: int,
    metric: str = 'cosine',
    chunk: int = 1024,
    gallery_chunk: int = 16384,
    exclude: Optional[Tensor] = None,
) -> Tuple[Tensor, Tensor]:
    """The k nearest rows of a gallery, exactly, nearest first.

    Similarities are computed in fp32, or in fp64 where the inputs are, one
    block of ``chunk`` x ``gallery_chunk`` at a time: memory does not grow
    with :math:`Q N`. Of equal similarities the lower index comes first.
    A zero row has cosine 0 with everything. Rows with NaN or inf (query or
    gallery) get similarity -inf (distance inf) and therefore rank last.

    Args:
        query (Tensor): :math:`(Q, D)`.
        gallery (Tensor): :math:`(N, D)`, on the same device.
        k (int): Neighbors of each query, in [1, N], or in [1, N - 1] with
            ``exclude``.
        metric (str): ``'cosine'`` or ``'dot'``, the highest first, or
            ``'euclidean'``, the shortest distance first (from differences,
            not from a matrix product, which loses short distances).
            Defaults to ``'cosine'``.
        chunk (int): Queries at a time. Defaults to 1024.
        gallery_chunk (int): Gallery rows at a time; 1024 x 16384
            similarities take 64 MiB. Defaults to 16384.
        exclude (Tensor, optional): int64 :math:`(Q,)`, the gallery row that
            a query must not find, which is its own where the queries are
            part of the gallery; -1 excludes nothing. Defaults to None.

    Returns:
        tuple[Tensor, Tensor]: Similarities or distances, and int64 indices
        into the gallery, both :math:`(Q, k)`.

    Raises:
        ValueError: If shapes do not fit, ``metric`` is unknown, or ``k``, a
            chunk or an index to exclude is out of range.

    Examples:
        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
        >>> top_k_neighbors(gallery[:1], gallery, 2)[1].tolist()
        [[0, 2]]
        >>> own = torch.tensor([0])
        >>> top_k_neighbors(gallery[:1], gallery, 2, exclude=own)[1].tolist()
        [[2, 1]]
    """
    if (query.ndim, gallery.ndim) != (2, 2) or (
        query.shape[1] != gallery.shape[1]
    ):
        raise ValueError(
            'query and gallery must have shapes (Q, D) and (N, D), got '
            f'{tuple(query.shape)} and {tuple(gallery.shape)}'
        )
    check_choice('metric', metric, METRICS)
    check_int('chunk', chunk, 1)
    check_int('gallery_chunk', gallery_chunk, 1)
    if exclude is not None and (
        exclude.shape != query.shape[:1]
        or exclude.dtype != torch.int64
        or not ((exclude >= -1) & (exclude < len(gallery))).all()
    ):
        raise ValueError(
            f'exclude must be int64 of shape ({len(query)},), gallery indices '
            f'in [-1, {len(gallery) - 1}], got {exclude}'
        )
    check_int('k', k, 1, len(gallery) - (exclude is not None))
    # An enclosing autocast would take the products in bf16.
    with torch.autocast(query.device.type, enabled=False):
        query, query_finite = _prepare(query, metric)
        gallery, gallery_finite = _prepare(gallery, metric)
        dtype = torch.promote_types(query.dtype, gallery.dtype)
        # The lowest finite number stands for 'not finite', so that -inf is
        # left for what must not be found at all.
        lowest = torch.finfo(dtype).min
        values = query.new_empty((len(query), k), dtype=dtype)
        indices = query.new_empty((len(query), k), dtype=torch.int64)
        for start in range(0, len(query), chunk):
            rows = slice(start, start + chunk)
            best = None
            for offset in range(0, len(gallery), gallery_chunk):
                columns = slice(offset, offset + gallery_chunk)
                near = _similarity(
                    query[rows].to(dtype), gallery[columns].to(dtype), metric
                )  # bxc
                near.nan_to_num_(lowest, posinf=torch.inf, neginf=lowest)
                near.masked_fill_(~query_finite[rows, None], lowest)
                near.masked_fill_(~gallery_finite[None, columns], lowest)
                if exclude is not None:
                    places = torch.arange(near.shape[1], device=near.device)
                    own = exclude[rows, None] == places + offset  # bxc
                    near.masked_fill_(own, -torch.inf)
                found, where = _best(near, min(k, near.shape[1]))
                where += offset
                if best is not None:
                    found = torch.cat((best[0], found), dim=1)
                    where = torch.cat((best[1], where), dim=1)
                    found, where = _sorted(found, where, k)
                best = found, where
            values[rows], indices[rows] = best
    values[values == lowest] = -torch.inf
    return (values.neg().abs() if metric == 'euclidean' else values), indices


def _prepare(rows: Tensor, metric: str) -> Tuple[Tensor, Tensor]:
    """Rows as the metric takes them, and which of them are finite."""
    if rows.dtype != torch.float64:
        rows = rows.float()
    finite = rows.isfinite().all(dim=1)
    rows = rows.masked_fill(~finite[:, None], 0)
    return (F.normalize(rows) if metric == 'cosine' else rows), finite


def _similarity(query: Tensor, gallery: Tensor, metric: str) -> Tensor:
    if metric == 'euclidean':
        mode = 'donot_use_mm_for_euclid_dist'
        return torch.cdist(query, gallery, compute_mode=mode).neg_()
    return query @ gallery.T


def _best(near: Tensor, k: int) -> Tuple[Tensor, Tensor]:
    """The k highest of each row, sorted; of equals the lower index first.

    ``topk`` takes any of equals. Only a row whose k-th and next values are
    equal needs care, and then only among the equals of the k-th.
    """
    if k == near.shape[1]:
        values, where = near.sort(dim=1, descending=True, stable=True)
        return values, where
    values, where = near.topk(k + 1, dim=1)
    tied = (values[:, k - 1] == values[:, k]).nonzero()[:, 0]
    where = where[:, :k]
    if len(tied):
        rows, last = near[tied], values[tied, k - 1, None]
        above, equal = rows > last, rows == last
        room = k - above.sum(dim=1, keepdim=True)
        taken = above | (equal & (equal.cumsum(dim=1) <= room))
        where[tied] = taken.nonzero()[:, 1].view(len(tied), k)
    where = where.sort(dim=1).values
    return _sorted(near.gather(1, where), where, k)


def _sorted(values: Tensor, where: Tensor, k: int) -> Tuple[Tensor, Tensor]:
    """The k highest; equals stay in the order that they are in."""
    values, order = values.sort(dim=1, descending=True, stable=True)
    return values[:, :k], where.gather(1, order[:, :k])
