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
    parts = list(range(0, len(query), chunk))
    # An enclosing autocast would take the products in bf16.
    with torch.autocast(query.device.type, enabled=False):
        dtype = torch.promote_types(
            torch.promote_types(query.dtype, gallery.dtype), torch.float32
        )
        # The lowest finite number stands for 'not finite', so that -inf is
        # left for what must not be found at all.
        lowest = torch.finfo(dtype).min
        values = query.new_full((len(query), k), -torch.inf, dtype=dtype)
        indices = query.new_zeros((len(query), k), dtype=torch.int64)
        sound = [_sound(query[i : i + chunk]) for i in parts]
        for offset in range(0, len(gallery), gallery_chunk):
            columns = gallery[offset : offset + gallery_chunk]
            columns_sound = _sound(columns)
            columns = _prepare(columns, columns_sound, metric).to(dtype)
            for start, rows_sound in zip(parts, sound):
                rows = slice(start, start + chunk)
                near = _similarity(
                    _prepare(query[rows], rows_sound, metric).to(dtype),
                    columns,
                    metric,
                )  # bxc
                if rows_sound is not None or columns_sound is not None:
                    near.nan_to_num_(lowest, posinf=torch.inf, neginf=lowest)
                if rows_sound is not None:
                    near.masked_fill_(~rows_sound[:, None], lowest)
                if columns_sound is not None:
                    near.masked_fill_(~columns_sound, lowest)
                if exclude is not None:
                    _exclude(near, exclude[rows] - offset)
                found, where = best_of_rows(near, min(k, near.shape[1]))
                where += offset
                if offset:  # before it are lower indices, which go first
                    found = torch.cat((values[rows], found), dim=1)
                    where = torch.cat((indices[rows], where), dim=1)
                    found, order = best_of_rows(found, k)
                    where = where.gather(1, order)
                values[rows, : found.shape[1]] = found
                indices[rows, : found.shape[1]] = where
    values[values == lowest] = -torch.inf
    return (values.neg().abs() if metric == 'euclidean' else values), indices


def _sound(rows: Tensor) -> Optional[Tensor]:
    """Which rows are finite; None if all are, and far from an overflow."""
    rows = _at_least_float(rows)
    # The square of the sum of two such lengths is finite, and so is any
    # product or squared distance.
    limit = torch.finfo(rows.dtype).max ** 0.5 / 2
    if bool((rows.norm(dim=1) < limit).all()):
        return None
    return rows.isfinite().all(dim=1)


def _prepare(rows: Tensor, finite: Optional[Tensor], metric: str) -> Tensor:
    """Rows as the metric takes them, those that are not finite as zeros."""
    rows = _at_least_float(rows)
    if finite is not None:
        rows = rows.masked_fill(~finite[:, None], 0)
    return F.normalize(rows) if metric == 'cosine' else rows


def _at_least_float(rows: Tensor) -> Tensor:
    return rows if rows.dtype == torch.float64 else rows.float()


def _similarity(query: Tensor, gallery: Tensor, metric: str) -> Tensor:
    if metric == 'euclidean':
        mode = 'donot_use_mm_for_euclid_dist'
        return torch.cdist(query, gallery, compute_mode=mode).neg_()
    return query @ gallery.T


def _exclude(near: Tensor, own: Tensor) -> None:
    """Have column ``own`` of each row, if it is there, not be found."""
    inside = ((own >= 0) & (own < near.shape[1]))[:, None]
    own = own.clamp(0, near.shape[1] - 1)[:, None]
    near.scatter_(1, own, near.gather(1, own).masked_fill(inside, -torch.inf))


def best_of_rows(near: Tensor, k: int) -> Tuple[Tensor, Tensor]:
    """The k highest of each row, sorted; of equals the lower index first.

    ``topk`` takes any of equals, in any order: rows with equals among their
    highest are done again.

    Args:
        near (Tensor): Without NaN, :math:`(B, N)`.
        k (int): In [1, N].

    Returns:
        tuple[Tensor, Tensor]: Values and int64 indices, :math:`(B, k)`.

    Examples:
        >>> best_of_rows(torch.tensor([[1.0, 2.0, 2.0]]), 2)
        (tensor([[2., 2.]]), tensor([[1, 2]]))
    """
    if k == near.shape[1]:
        values, where = near.sort(dim=1, descending=True, stable=True)
        return values, where
    values, where = near.topk(k + 1, dim=1)
    tied = (values[:, 1:] == values[:, :-1]).any(dim=1).nonzero()[:, 0]
    last = values[tied, k - 1, None]
    values, where = values[:, :k], where[:, :k]
    if len(tied):
        rows = near[tied]
        above, equal = rows > last, rows == last
        room = k - above.sum(dim=1, keepdim=True)
        taken = above | (equal & (equal.cumsum(dim=1) <= room))
        found = taken.nonzero()[:, 1].view(len(tied), k)
        rows, order = rows.gather(1, found).sort(
            dim=1, descending=True, stable=True
        )
        values[tied], where[tied] = rows, found.gather(1, order)
    return values, where
