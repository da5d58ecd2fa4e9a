# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gradient clipping that leaves a parameter out."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mask_plugins.engine.hooks import ClipExemptHook


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 1, bias=False)
        self.head = nn.Module()
        self.head.alpha = nn.Parameter(torch.tensor(1.0))


def step(hook, clip_grad):
    model = Model()
    with torch.no_grad():
        model.body.weight.zero_()
    wrapper = OptimWrapper(
        torch.optim.SGD(model.parameters(), lr=1.0), clip_grad=clip_grad
    )
    if hook is not None:
        for _ in range(2):  # a second training must not stack
            hook.before_train(
                SimpleNamespace(model=model, optim_wrapper=wrapper)
            )
    total = 3 * model.body.weight.sum() + 1000 * model.head.alpha
    wrapper.update_params(total)
    return -model.body.weight[0], 1 - model.head.alpha.item()


def test_the_rest_is_clipped_as_if_it_were_alone():
    clip = dict(max_norm=3.0)
    weight, alpha = step(ClipExemptHook(), clip)
    assert weight.norm().item() == pytest.approx(3, rel=1e-4)
    assert alpha == pytest.approx(1000)


def test_without_the_hook_a_scalar_rules_the_norm():
    weight, alpha = step(None, dict(max_norm=3.0))
    assert weight.norm().item() == pytest.approx(3 * 27**0.5 / 1000, rel=1e-3)
    assert alpha == pytest.approx(3, rel=1e-3)


def test_without_clipping_it_does_nothing():
    weight, alpha = step(ClipExemptHook('*.alpha'), None)
    assert weight.tolist() == [3, 3, 3]
    assert alpha == 1000


def test_by_value_and_unknown_names():
    weight, alpha = step(ClipExemptHook(), dict(type='value', clip_value=2.0))
    assert weight.tolist() == [2, 2, 2]
    assert alpha == 1000
    with pytest.raises(ValueError, match=r"'head.beta' matches no parameter"):
        step(ClipExemptHook(['head.beta']), dict(max_norm=1.0))
