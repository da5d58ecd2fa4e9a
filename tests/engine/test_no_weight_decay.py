# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tokens leave the weight decay, and nothing else changes."""

import pytest
import torch
from mmengine.optim import (
    CosineAnnealingParamScheduler,
    DefaultOptimWrapperConstructor,
    LinearLR,
    OptimWrapper,
    OptimWrapperDict,
)
from torch import nn

from mask_plugins.engine.optimizers.no_weight_decay import (
    free_from_weight_decay,
)


class Token(nn.Module):
    """A layer and a token."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.token = nn.Parameter(torch.ones(1, 2))

    def no_weight_decay(self):
        return ['token']


def groups(optimizer):
    return [
        (len(g['params']), g['lr'], g['weight_decay'])
        for g in optimizer.param_groups
    ]


@pytest.mark.parametrize('kind', ['SGD', 'AdamW'])
def test_stock_constructor(kind):
    """With schedulers of the rate and of the decay that are built before."""
    model = nn.Sequential(Token(), nn.Linear(2, 1))
    options = dict(type=kind, lr=0.1, weight_decay=0.5)
    wrapper = DefaultOptimWrapperConstructor(dict(optimizer=options))(model)
    schedulers = [
        LinearLR(wrapper, start_factor=0.5, end=4),
        CosineAnnealingParamScheduler(wrapper, 'weight_decay', T_max=8),
    ]
    assert free_from_weight_decay(model, wrapper, schedulers) == ['0.token']
    rates = []
    for _ in range(4):
        (n, lr, decay), (m, token_lr, none) = groups(wrapper.optimizer)
        assert (n, m) == (4, 1)
        assert lr == token_lr
        assert none == 0 < decay
        rates.append(lr)
        before = model[0].token.detach().clone()
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        wrapper.optimizer.step()
        assert model[0].token.equal(before)
        for scheduler in schedulers:
            scheduler.step()
    assert rates == sorted(set(rates))
    # Once is enough, and there may be nothing to do.
    assert free_from_weight_decay(model, wrapper, schedulers) == []
    assert len(wrapper.optimizer.param_groups) == 2


def test_several_optimizers():
    model = nn.ModuleDict(dict(a=Token(), b=nn.Linear(2, 1)))
    wrappers = {}
    for name in 'ab':
        parameters = model[name].parameters()
        optimizer = torch.optim.SGD(parameters, 0.1, weight_decay=0.5)
        wrappers[name] = OptimWrapper(optimizer)
    schedulers = {name: [LinearLR(w)] for name, w in wrappers.items()}
    both = OptimWrapperDict(**wrappers)
    assert free_from_weight_decay(model, both, schedulers) == ['a.token']
    assert [len(w.optimizer.param_groups) for w in wrappers.values()] == [2, 1]
    assert [len(s[0].base_values) for s in schedulers.values()] == [2, 1]


def test_without_decay_nothing_is_done():
    model = Token()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    assert free_from_weight_decay(model, wrapper, None) == []
    assert len(wrapper.optimizer.param_groups) == 1
