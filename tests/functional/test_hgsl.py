# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The parts of HGSL; its values are in ``tests/golden``."""

import pytest
import torch
import torch.nn.functional as F

from mask_plugins.functional.hgsl import (
    bounded,
    center_decorrelation,
    center_distances,
    hard_softmin,
    unit_rows,
)


def test_all_classes_is_cross_entropy():
    logits, labels = torch.randn(8, 5).double(), torch.arange(8) % 5
    expected = F.cross_entropy(logits, labels)
    for top_k in (0, 5):
        torch.testing.assert_close(
            hard_softmin(logits, labels, top_k), expected
        )


def test_one_is_a_perceptron():
    """Nothing to learn once the target is the nearest, but for a margin."""
    logits = torch.tensor([[5.0, 3.0, 1.0]], requires_grad=True)
    loss = hard_softmin(logits, torch.tensor([0]), 1)
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()
    logits.grad = None
    loss = hard_softmin(logits, torch.tensor([0]), 1, margin=3.0)
    loss.backward()
    assert loss == 1  # 3 - (5 - 3)
    assert logits.grad.tolist() == [[-1, 1, 0]]


@pytest.mark.parametrize('top_k', [0, 1, 2, 4])
def test_never_negative(top_k):
    logits, labels = 100 * torch.randn(50, 5), torch.arange(50) % 5
    for margin in (None, 3.0):
        assert hard_softmin(logits, labels, top_k, margin) >= 0


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_finite_for_any_logits(dtype):
    for value in (1e4, -1e4):
        logits = torch.full((2, 4), value, dtype=dtype)
        logits[0, 1] = -value
        logits.requires_grad_()
        loss = hard_softmin(logits, torch.tensor([0, 1]))
        loss.backward()
        assert loss.isfinite()
        assert logits.grad.isfinite().all()


def test_embedding_on_its_center():
    """In fp32 the radicand would be negative; the gradient stays finite."""
    x = unit_rows(torch.randn(50, 4096)).requires_grad_()
    distances = center_distances(x, x.detach())
    distances.diagonal().sum().backward()
    assert distances.isfinite().all()
    assert (distances.diagonal() >= 1e-3).all()
    assert x.grad.isfinite().all()
    assert unit_rows(torch.zeros(1, 3)).isfinite().all()


@pytest.mark.parametrize('count', [1, 2, 7, 64])
@pytest.mark.parametrize('block', [3, 100])
def test_decorrelation_in_blocks(count, block):
    centers = torch.randn(count, 5, dtype=torch.double, requires_grad=True)
    found = center_decorrelation(centers, block)
    (gradient,) = torch.autograd.grad(3 * found, centers)
    products = (centers @ centers.T).abs()
    pairs = max(1, count * (count - 1))
    plain = (products.sum() - products.diagonal().sum()) / pairs
    (expected,) = torch.autograd.grad(3 * plain, centers)
    torch.testing.assert_close(found, plain)
    torch.testing.assert_close(gradient, expected)


def test_bounds_let_a_gradient_lead_back():
    x = torch.tensor([0.1, 1.0, 5.0], requires_grad=True)
    for sign, expected in ((1, [0, 1, 1]), (-1, [-1, -1, 0])):
        x.grad = None
        value = bounded(x, 0.5, 2.0)
        (sign * value).sum().backward()
        assert value.tolist() == [0.5, 1, 2]
        assert x.grad.tolist() == expected
