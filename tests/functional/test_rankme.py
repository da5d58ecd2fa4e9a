# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""RankMe from a Gram matrix equals that from a full SVD."""

import math

import pytest
import torch

from mask_plugins.functional.rankme import (
    effective_rank,
    gram_singular_values,
    rankme,
)


def features(count, dims, smallest, seed=0):
    """Features whose spectrum falls to ``smallest`` of its first value."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, dims, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(torch.randn(dims, dims, generator=generator)).Q
    scale = torch.logspace(0, math.log10(smallest), dims)
    return (z * scale) @ basis.double()


def streamed(z):
    gram = sum(part.T @ part for part in z.double().split(37))
    return effective_rank(gram_singular_values(gram, len(z)))


@pytest.mark.parametrize('smallest', [1.0, 1e-4, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize('count', [9, 48, 1000])
def test_equals_the_svd(smallest, count):
    z = features(count, 48, smallest)
    assert math.isclose(streamed(z), rankme(z), rel_tol=1e-6)


def test_a_collapsed_spectrum():
    """What rounding leaves of values that the Gram matrix loses is cut."""
    z = features(2000, 256, 1.0)
    z[:, 1:] *= 1e-10
    z = z @ torch.linalg.qr(features(256, 256, 1.0, seed=1)).Q
    assert math.isclose(streamed(z), rankme(z), rel_tol=1e-6)
    naive = torch.linalg.eigvalsh(z.T @ z).clamp_min(0).sqrt()
    assert not math.isclose(effective_rank(naive), rankme(z), rel_tol=1e-6)


def test_dead_channels_and_fp32():
    z = features(500, 32, 0.1).float()
    z[:, [3, 17]] = 0
    assert math.isclose(streamed(z), rankme(z), rel_tol=1e-9)


def test_zeros_and_what_is_not_finite():
    z = torch.zeros(5, 3)
    for normalize in ('none', 'row'):
        assert math.isclose(rankme(z, normalize), 1, rel_tol=1e-5)
    assert streamed(z) == rankme(z)
    z[2, 1] = float('inf')
    assert math.isnan(rankme(z))
    assert math.isnan(streamed(z))


def test_bad_input():
    with pytest.raises(ValueError, match=r"one of .*got 'column'"):
        rankme(torch.zeros(2, 2), 'column')
    with pytest.raises(ValueError, match=r'got \(0, 3\)'):
        rankme(torch.zeros(0, 3))


def test_complex_features_are_refused():
    """Half of what they say would be left out."""
    with pytest.raises(ValueError, match='features must be real .*complex64'):
        rankme(torch.eye(3).cfloat())
