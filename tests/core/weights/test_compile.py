# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Compiled, the fused functions have the values and gradients of eager."""

import copy

import pytest
import torch
import torch.nn.functional as F

from mask_plugins.core.weights import (
    hold_masks,
    named_masks,
    score_masked_weight,
    soft_masked_weight,
)
from mask_plugins.core.weights.score_product import binary_masked_weight
from mask_plugins.native import SWITCH
from mask_plugins.utils.compat_torch import COMPILES_MASKS
from tests.common.equal import assert_equal

from . import nets

X = nets.small_input()


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compare(function, *tensors):
    """Run it eagerly and compiled, its whole graph; all results must agree."""
    results = []
    compiled = torch.compile(
        function, fullgraph=COMPILES_MASKS, backend='aot_eager'
    )
    for run in (function, compiled):
        leaves = copy.deepcopy(tensors)
        value = run(*leaves)
        value.backward()
        results.append([value.detach(), *(leaf.grad for leaf in leaves)])
    assert any(gradient is not None for gradient in results[0][1:])
    assert all(part is None or part.any() for part in results[0])
    torch.testing.assert_close(*results)


def tensors(train_weight):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 12, generator=generator)
    weight = torch.randn(6, 12, generator=generator)
    other = torch.randn(6, 12, generator=generator)
    return x, weight.requires_grad_(train_weight), other.requires_grad_()


@pytest.mark.parametrize('train_weight', [False, True])
@pytest.mark.parametrize(
    'args',
    [
        ('threshold', 0.0, True, 1),
        ('threshold', 0.1, True, 3),
        ('threshold', -0.1, False, 1),
        ('topk', 0.5, True, 1),
        ('flip', 0.0, False, 1),
    ],
)
def test_score_masks(args, train_weight):
    def loss(x, weight, scores):
        product = score_masked_weight(weight, scores, *args)
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


@pytest.mark.parametrize('kind', list(nets.KINDS))
def test_compile(kind, monkeypatch):
    """One graph; the eager values and gradients of torch to the bit."""
    monkeypatch.setenv(SWITCH, '0')
    model = nets.masked_small(kind)
    twin = copy.deepcopy(model)
    compiled = torch.compile(
        twin, fullgraph=COMPILES_MASKS, backend='aot_eager'
    )
    results = []
    for net in (model, compiled):
        out = net(X)
        out.square().sum().backward()
        results.append(out)
    assert torch.equal(*results)
    assert_equal(*([p.grad for p in m.parameters()] for m in (model, twin)))


@pytest.mark.parametrize('quantity', ['temperature', 'k'])
def test_a_schedule_does_not_recompile(quantity):
    model = nets.masked_small('soft' if quantity == 'temperature' else 'score')
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(model, backend=backend)
    for value in (0.1, 0.2, 0.3, 0.4, 0.5):
        for item in named_masks(model):
            if quantity == 'k':
                item.mask.threshold = value
            else:
                item.mask.temperature = value
        found = compiled(X)
        torch.testing.assert_close(found, model(X))
    # A plain number becomes a variable of the graph once it has changed; what
    # torch has seen before in the process may make it one from the start.
    assert len(graphs) <= 2


def test_compile_while_held():
    model = nets.masked_small().eval()
    compiled = torch.compile(
        model, fullgraph=COMPILES_MASKS, backend='aot_eager'
    )
    expected = model(X)
    with hold_masks(model):
        assert torch.equal(compiled(X), expected)
