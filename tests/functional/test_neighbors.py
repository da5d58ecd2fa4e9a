# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Exact neighbors: every block size finds what a full sort finds."""

import pytest
import torch
import torch.nn.functional as F

from mask_plugins.functional import neighbors
from mask_plugins.functional.neighbors import METRICS, top_k_neighbors
from mask_plugins.utils.timing import Case, peak_memory


def full_sort(query, gallery, k, metric):
    if metric == 'euclidean':
        values = -(query[:, None] - gallery[None]).square().sum(-1).sqrt()
    elif metric == 'cosine':
        values = F.normalize(query) @ F.normalize(gallery).T
    else:
        values = query @ gallery.T
    values, indices = values.sort(dim=1, descending=True, stable=True)
    sign = -1 if metric == 'euclidean' else 1
    return sign * values[:, :k], indices[:, :k]


def rows(count, dims=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dims, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize('metric', ['cosine', 'dot', 'euclidean'])
@pytest.mark.parametrize('chunks', [(1, 1), (3, 7), (64, 64)])
@pytest.mark.parametrize('k', [1, 5, 40])
def test_equals_a_full_sort(metric, chunks, k):
    query, gallery = rows(9), rows(40, seed=1)
    values, indices = top_k_neighbors(query, gallery, k, metric, *chunks)
    expected, where = full_sort(query, gallery, k, metric)
    assert torch.equal(indices, where)
    assert torch.allclose(values, expected, atol=1e-12)


@pytest.mark.parametrize('gallery_chunk', [2, 5, 100])
@pytest.mark.parametrize('k', [1, 3, 6, 12])
def test_of_equals_the_lower_index_comes_first(gallery_chunk, k):
    gallery = torch.tensor([[2.0], [1.0], [2.0], [1.0], [3.0], [1.0]] * 2)
    query = torch.ones(2, 1)
    _, indices = top_k_neighbors(query, gallery, k, 'dot', 1, gallery_chunk)
    expected = [4, 10, 0, 2, 6, 8, 1, 3, 5, 7, 9, 11][:k]
    assert indices.tolist() == [expected, expected]


def test_own_row_is_excluded_by_index_not_by_value():
    gallery = rows(20)
    gallery[7] = gallery[3]  # a twin, which is a neighbor like any other
    own = torch.arange(20)
    options = 19, 'euclidean', 4, 6, own
    _, indices = top_k_neighbors(gallery, gallery, *options)
    assert not (indices == own[:, None]).any()
    assert indices[3, 0] == 7
    assert indices[7, 0] == 3
    own[0] = -1
    _, indices = top_k_neighbors(gallery, gallery, 1, exclude=own)
    assert indices[0, 0] == 0
    assert indices[1, 0] != 1


def test_rows_that_are_not_finite_rank_last():
    gallery, query = rows(6).float(), rows(3, seed=1).float()
    gallery[1, 2] = float('nan')
    gallery[4, 0] = float('inf')
    query[2, 0] = float('nan')
    for metric, last in (('dot', -torch.inf), ('euclidean', torch.inf)):
        values, indices = top_k_neighbors(query, gallery, 6, metric, 2, 4)
        assert indices[:2, 4:].tolist() == [[1, 4]] * 2
        assert (values[:2, 4:] == last).all()
        assert (values[2] == last).all()
        assert values[:2, :4].isfinite().all()
        assert indices[2].tolist() == list(range(6))
    # Excluded ones are never found, not even after those.
    own = torch.tensor([0, 0, 0])
    _, indices = top_k_neighbors(query, gallery, 5, exclude=own)
    assert not (indices == 0).any()


def test_zero_rows_and_low_precision():
    gallery = torch.tensor([[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    gallery = gallery.bfloat16()
    values, indices = top_k_neighbors(gallery[2:], gallery, 3)
    assert indices.tolist() == [[2, 0, 1]]
    assert values.dtype == torch.float32
    assert values.tolist() == [[1.0, 0.0, -1.0]]
    query, gallery = rows(4).float(), rows(9).float()
    with torch.autocast('cpu', torch.bfloat16):
        values, _ = top_k_neighbors(query, gallery, 3)
    expected, _ = top_k_neighbors(query, gallery, 3)
    assert torch.equal(values, expected)


@pytest.mark.parametrize('metric', METRICS)
@pytest.mark.parametrize('length', [1.0, 1e18, 1e19, 1e30])
def test_what_is_skipped_changes_nothing(metric, length, monkeypatch):
    """Also of finite rows whose products or distances are not."""
    query, gallery = rows(5).float(), rows(40, seed=1).float()
    gallery[::7] *= length
    query[2] *= length
    found = top_k_neighbors(query, gallery, 40, metric, 2, 9)
    sound = lambda rows: rows.isfinite().all(dim=1)  # noqa: E731
    monkeypatch.setattr(neighbors, '_sound', sound)
    checked = top_k_neighbors(query, gallery, 40, metric, 2, 9)
    for one, other in zip(found, checked):
        assert not one.isnan().any()
        torch.testing.assert_close(one, other)


def test_memory_does_not_grow_with_the_gallery():
    """Beyond the result it is a block and the rows of a block."""
    query, gallery = rows(64), rows(20_000, dims=6)
    call = lambda: top_k_neighbors(query, gallery, 5, 'cosine', 16, 256)  # noqa: E731
    gallery_mib = gallery.numel() * 4 / 2**20
    assert peak_memory(Case(call)) < gallery_mib / 3


def test_no_query():
    values, indices = top_k_neighbors(rows(0), rows(5), 2)
    assert values.shape == indices.shape == (0, 2)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(k=0), r'k must be an int in \[1, 5\]'),
        (dict(k=6), r'k must be an int in \[1, 5\], got 6'),
        (dict(k=5, exclude=torch.arange(3)), r'k must be an int in \[1, 4\]'),
        (dict(exclude=torch.arange(2)), r'int64 of shape \(3,\)'),
        (dict(exclude=torch.full((3,), 5)), r'in \[-1, 4\], got .*5'),
        (dict(metric='manhattan'), "one of .*got 'manhattan'"),
        (dict(chunk=0), 'chunk must be an int of at least 1, got 0'),
        (dict(query=torch.zeros(3)), r'got \(3,\) and \(5, 6\)'),
        (dict(query=torch.zeros(3, 4)), r'got \(3, 4\) and \(5, 6\)'),
    ],
)
def test_bad_input(change, message):
    arguments = dict(query=rows(3), gallery=rows(5), k=2)
    with pytest.raises(ValueError, match=message):
        top_k_neighbors(**{**arguments, **change})
