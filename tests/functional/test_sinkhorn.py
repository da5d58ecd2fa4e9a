# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Sinkhorn assignments, LiDAR, and both over several processes."""

import pytest
import torch

from mask_plugins.functional.lidar import lidar
from mask_plugins.functional.rankme import effective_rank
from mask_plugins.functional.sinkhorn import sinkhorn


def naive(scores, epsilon=0.05, iterations=3):
    q = (scores.double() / epsilon).exp().T
    q /= q.sum()
    for _ in range(iterations):
        q /= q.sum(1, keepdim=True) * q.shape[0]
        q /= q.sum(0, keepdim=True) * q.shape[1]
    return (q * q.shape[1]).T


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_is_the_naive_form_in_fp32(dtype):
    torch.manual_seed(0)
    scores = torch.randn(64, 30).clamp(-1, 1).to(dtype)
    found = sinkhorn(scores)
    assert found.dtype == torch.float32
    # Logarithms of up to 40 are rounded to fp32, six times in turn.
    torch.testing.assert_close(
        found.double(), naive(scores), rtol=2e-5, atol=1e-12
    )


def test_prototypes_are_balanced():
    torch.manual_seed(0)
    found = sinkhorn(torch.randn(60, 5).double(), 0.5, 200)
    torch.testing.assert_close(found.sum(0), torch.full((5,), 12.0).double())
    torch.testing.assert_close(found.sum(1), torch.ones(60).double())


def test_far_prototypes_and_huge_scores_stay_finite():
    scores = torch.tensor([[1e4, 0.0, -1e4], [1e4, 1.0, -1e4]])
    assert sinkhorn(scores).isfinite().all()


def test_rows_of_nan_take_no_part():
    torch.manual_seed(0)
    good = torch.randn(6, 4)
    bad = good.new_tensor([[torch.nan] * 4, [torch.inf, 0, 0, 0]])
    found = sinkhorn(torch.cat((good, bad)))
    assert torch.equal(found[:6], sinkhorn(good))
    assert found[6:].isnan().all()
    assert sinkhorn(bad).isnan().all()


def test_lidar_is_the_formula_of_the_paper():
    torch.manual_seed(0)
    z = torch.randn(10, 1, 6) + 0.3 * torch.randn(10, 7, 6)  # n, q, D
    z = z.double()
    means = z.mean(1)
    centered = means - means.mean(0)
    between = centered.T @ centered / 10
    inner = (z - means[:, None]).flatten(0, 1)
    within = inner.T @ inner / 70 + 1e-4 * torch.eye(6).double()
    values, vectors = torch.linalg.eigh(within)
    root = vectors @ torch.diag(values**-0.5) @ vectors.T
    wanted = effective_rank(torch.linalg.eigvalsh(root @ between @ root))
    rows = z.flatten(0, 1)
    assert lidar(rows.T @ rows, means, 7) == pytest.approx(wanted, rel=1e-9)
    means[0] = torch.nan
    assert lidar(rows.T @ rows, means, 7) != lidar(rows.T @ rows, means, 7)
