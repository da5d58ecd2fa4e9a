# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""RankMe from a stream equals that from a full SVD."""

import math

import pytest
import torch

from mask_plugins.functional.gram_factor import GramFactor
from mask_plugins.functional.rankme import effective_rank, rankme


def features(count, dims, smallest, seed=0):
    """Features whose spectrum falls to ``smallest`` of its first value."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, dims, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(torch.randn(dims, dims, generator=generator)).Q
    scale = torch.logspace(0, math.log10(smallest), dims)
    return (z * scale) @ basis.double()


def stream(z, batch=37, **kwargs):
    factor = GramFactor(**kwargs)
    for rows in z.split(batch):
        factor.add(rows)
    return factor


@pytest.mark.parametrize('smallest', [1.0, 1e-3, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize('count', [9, 48, 1000])
@pytest.mark.parametrize('block', [1, 4])
def test_equals_the_svd(smallest, count, block):
    z = features(count, 48, smallest)
    factor = stream(z, block=block)
    values = torch.linalg.svdvals(z)
    found = factor.singular_values()
    assert factor.count == count
    assert (found - values).abs().max() < 1e-10 * values[0]
    assert math.isclose(
        effective_rank(found), rankme(z), rel_tol=1e-9, abs_tol=0
    )


def test_a_collapsed_spectrum_keeps_what_a_gram_matrix_loses():
    """The eigenvalues of Z^T Z are off by more than is allowed here."""
    z = features(2000, 256, 1.0)
    z[:, 1:] *= 1e-10
    z = z @ torch.linalg.qr(features(256, 256, 1.0, seed=1)).Q
    expected = rankme(z)
    found = effective_rank(stream(z).singular_values())
    assert abs(found - expected) < 1e-6
    naive = torch.linalg.eigvalsh(z.T @ z).clamp_min(0).sqrt()
    assert abs(effective_rank(naive) - expected) > 1e-6


def test_dead_channels_and_fp32():
    z = features(500, 32, 0.1).float()
    z[:, [3, 17]] = 0
    factor = stream(z)
    assert factor.factor().shape == (30, 32)
    assert math.isclose(
        effective_rank(factor.singular_values()), rankme(z), rel_tol=1e-9
    )


def test_merging_is_streaming_it_all():
    z = features(300, 16, 1e-7)
    whole, other = stream(z[:110]), stream(z[110:])
    whole.merge(other)
    whole.merge(GramFactor())
    assert whole.count == 300
    torch.testing.assert_close(
        whole.singular_values(), torch.linalg.svdvals(z), rtol=0, atol=1e-12
    )


def test_memory_does_not_grow_with_rows():
    factor = GramFactor()
    for _ in range(200):
        factor.add(torch.randn(10, 8))
        assert factor._waiting < 4 * 8 + 10
    assert factor.factor().shape == (8, 8)
    assert factor.count == 2000


def test_zeros_and_what_is_not_finite():
    z = torch.zeros(5, 3)
    for normalize in ('none', 'row'):
        assert math.isclose(rankme(z, normalize), 1, rel_tol=1e-5)
    assert effective_rank(stream(z).singular_values()) == rankme(z)
    z[2, 1] = float('inf')
    assert math.isnan(rankme(z))
    assert math.isnan(effective_rank(stream(z).singular_values()))


def test_bad_input():
    with pytest.raises(ValueError, match=r"one of .*got 'column'"):
        rankme(torch.zeros(2, 2), 'column')
    with pytest.raises(ValueError, match=r'got \(0, 3\)'):
        rankme(torch.zeros(0, 3))
    factor = stream(torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r'\(B, 3\), got \(5, 4\)'):
        factor.add(torch.zeros(5, 4))
    with pytest.raises(ValueError, match='no rows'):
        GramFactor().factor()
