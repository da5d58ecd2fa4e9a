# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Compiled, the fused functions have the values and gradients of eager."""

import pytest
import torch
import torch.nn.functional as F

from mask_plugins.core.weights import score_masked_weight, soft_masked_weight
from mask_plugins.core.weights.scores import binary_masked_weight


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compare(function, *tensors):
    """Run it eagerly and compiled, its whole graph; all results must agree."""
    results = []
    for run in (
        function,
        torch.compile(function, fullgraph=True, backend='aot_eager'),
    ):
        leaves = [
            tensor.detach().clone().requires_grad_(tensor.requires_grad)
            for tensor in tensors
        ]
        value = run(*leaves)
        value.backward()
        results.append([value.detach(), *(leaf.grad for leaf in leaves)])
    assert any(gradient is not None for gradient in results[0][1:])
    for eager, compiled in zip(*results):
        if eager is None:
            assert compiled is None
            continue
        assert eager.abs().max() > 0
        torch.testing.assert_close(compiled, eager)


def tensors(train_weight):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 12, generator=generator)
    weight = torch.randn(6, 12, generator=generator)
    other = torch.randn(6, 12, generator=generator)
    return x, weight.requires_grad_(train_weight), other.requires_grad_()


@pytest.mark.parametrize('train_weight', [False, True])
@pytest.mark.parametrize(
    ('criterion', 'k', 'scale', 'chunks'),
    [
        ('threshold', 0.0, True, 1),
        ('threshold', 0.1, True, 3),
        ('threshold', -0.1, False, 1),
        ('topk', 0.5, True, 1),
        ('flip', 0.0, False, 1),
    ],
)
def test_score_masks(criterion, k, scale, chunks, train_weight):
    def loss(x, weight, scores):
        product = score_masked_weight(
            weight, scores, criterion, k, scale, chunks
        )
        return F.linear(x, product).square().sum()

    compare(loss, *tensors(train_weight))


@pytest.mark.parametrize('penalty', [0.0, 0.3])
def test_soft_masks(penalty):
    def loss(x, weight, logits):
        temperature = torch.tensor(1.7)
        product, total = soft_masked_weight(weight, logits, temperature, 2.1)
        return F.linear(x, product).square().sum() + penalty * total

    compare(loss, *tensors(True))


@pytest.mark.parametrize('scale', [False, True])
def test_finished_masks(scale):
    def loss(x, weight, other):
        product = binary_masked_weight(weight, other > 0, scale, factor=1.5)
        return F.linear(x, product).square().sum() + other.sum()

    compare(loss, *tensors(True))
