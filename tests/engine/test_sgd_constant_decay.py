# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""SGD with a constant decay; whole trajectories are in tests/golden.

Runs with it are resumed in test_methods.py.
"""

import pytest
import torch
from torch import nn

from mask_plugins.engine.optimizers import SGDConstantDecay


def steps(optimizer, parameters, n=4):
    generator = torch.Generator().manual_seed(0)
    for _ in range(n):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return [p.detach().clone() for p in parameters]


def parameters():
    torch.manual_seed(1)
    return [nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.randn(4))]


@pytest.mark.parametrize('foreach', [True, False])
@pytest.mark.parametrize('nesterov', [True, False])
def test_without_decay_it_is_sgd(foreach, nesterov):
    options = dict(lr=0.3, momentum=0.9, nesterov=nesterov, foreach=foreach)
    ours, theirs = parameters(), parameters()
    a = steps(SGDConstantDecay(ours, **options), ours)
    b = steps(torch.optim.SGD(theirs, **options), theirs)
    assert all(x.equal(y) for x, y in zip(a, b))


def test_the_pull_does_not_depend_on_the_parameter():
    p = nn.Parameter(torch.tensor([-3.0, 0.0, 5.0]))
    optimizer = SGDConstantDecay([p], lr=0.5, weight_decay=0.1)
    p.grad = torch.zeros(3)
    optimizer.step()
    assert p.tolist() == pytest.approx([-3.05, -0.05, 4.95])
    assert p.grad.equal(torch.zeros(3))  # left as it was


@pytest.mark.parametrize('momentum', [0.0, 0.9])
def test_maximizing_keeps_the_pull_downwards(momentum):
    p = nn.Parameter(torch.zeros(1))
    optimizer = SGDConstantDecay(
        [p], lr=1.0, weight_decay=0.25, momentum=momentum, maximize=True
    )
    p.grad = torch.ones(1)
    optimizer.step()
    assert p.item() == pytest.approx(0.75)


def test_closure_is_evaluated_with_gradients():
    p = nn.Parameter(torch.ones(1))
    optimizer = SGDConstantDecay([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1
    assert p.item() == pytest.approx(0.8)


def test_what_it_cannot_do():
    with pytest.raises(ValueError, match='fused=True'):
        SGDConstantDecay(parameters(), fused=True)
    table = nn.Embedding(3, 2, sparse=True)
    optimizer = SGDConstantDecay(table.parameters(), weight_decay=0.1)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match='dense gradients'):
        optimizer.step()
