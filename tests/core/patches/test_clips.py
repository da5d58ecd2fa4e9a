# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masked passes of training, and putting gates on models."""

import pytest
import torch
from torch import nn

from mask_plugins.core.patches import (
    ClipState,
    MaskMode,
    RunningMode,
    StreamBinder,
    apply_patch_gates,
    set_running_mode,
)

from .small_net import small_net


def clip():
    torch.manual_seed(1)
    first = torch.randn(2, 3, 64, 64)
    second = first.clone()
    second[:, :, :20, :20] += 1
    return first, second


@pytest.mark.parametrize('reuse', ['output', 'input'])
def test_three_passes_share_one_decision_and_teach_the_gates(reuse):
    net = small_net()
    dense = small_net()
    names = apply_patch_gates(net, 'pooled', patch_size=4, reuse=reuse)
    set_running_mode(net, RunningMode.GatePreTrain)
    net.train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    binder, state = StreamBinder(net), ClipState()
    first, second = clip()
    with torch.no_grad(), binder.bind_clip(state, MaskMode.Anchor, True):
        net(first)
    with pytest.raises(ValueError, match='commit=True'):
        state.skip_ratio()
    outs = []
    decided = None
    for mode in MaskMode:
        with binder.bind_clip(state, mode):
            outs.append(net(second))
        decided = decided or dict(state.active)
        assert all(state.active[name] is decided[name] for name in names)
    anchor, pos, neg = outs
    torch.testing.assert_close(anchor, dense(second))
    assert not torch.equal(pos, neg)
    loss = (anchor - pos).square().mean() + state.skip_ratio()
    loss.backward()
    for name in names:
        gate = net.get_submodule(name).gate
        assert any(p.grad.abs().sum() > 0 for p in gate.parameters())
    assert net.layer2.conv1.weight.grad is None
    assert 0 <= float(state.skip_ratio()) <= 1


def test_rules_decide_per_layer():
    net = small_net()
    names = apply_patch_gates(
        net,
        'threshold',
        patch_size=8,
        rules=[
            dict(pattern='layer1.*', patch_size=4),
            dict(pattern='layer1.1', gate='exact', break_even=0.5),
            dict(pattern='conv1', enabled=False),
        ],
    )
    assert names == ['layer1.0', 'layer1.1', 'layer2']
    assert net.layer1[0].gate.patch_size == (4, 4)
    assert net.layer2.gate.patch_size == (8, 8)
    assert net.layer1[1].break_even == 0.5
    assert type(net.layer1[1].gate).__name__ == 'ExactGate'


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(place='here'), "got 'here'"),
        (dict(reuse='both'), "got 'both'"),
        (dict(break_even=2), 'got 2'),
        (dict(rules=[dict(pattern='nope*')]), 'matches none'),
        (dict(rules=[dict(pattern='*', size=3)]), "'size': 3"),
        (dict(rules=[dict(pattern='*', enabled=False)]), 'no layer to gate'),
    ],
)
def test_bad_options_leave_the_model_as_it_was(options, text):
    net = small_net()
    with pytest.raises(ValueError, match=text):
        apply_patch_gates(net, **options)
    stock = small_net()
    assert all(
        type(a) is type(b) for a, b in zip(net.modules(), stock.modules())
    )
    assert list(net.state_dict()) == list(stock.state_dict())


def test_parts_that_do_not_run_on_tiles_are_refused():
    net = small_net()
    net.layer2.bn1 = nn.GroupNorm(2, 16)
    with pytest.raises(TypeError, match=r'layer2: .*GroupNorm'):
        apply_patch_gates(net)
    assert apply_patch_gates(
        net, rules=[dict(pattern='layer2', enabled=False)]
    )
