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
    gated_layers,
    set_running_mode,
)
from tests.core.patches.small_net import (
    EXACT,
    assert_stock,
    error,
    gated,
    small_net,
)


@pytest.mark.parametrize('reuse', ['output', 'input'])
def test_three_passes_share_one_decision_and_teach_the_gates(reuse):
    net, dense = gated('pooled', reuse=reuse), small_net()
    layers = gated_layers(net)
    set_running_mode(net, RunningMode.GatePreTrain)
    net.train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    binder, state = StreamBinder(net), ClipState()
    torch.manual_seed(1)
    first = torch.randn(2, 3, 64, 64)
    second = first.clone()
    second[:, :, :20, :20] += 1
    with torch.no_grad(), binder.bind_clip(state, MaskMode.Anchor, True):
        net(first)
    with pytest.raises(ValueError, match='commit=True'):
        state.skip_ratio()
    outs, decided = [], []
    for mode in MaskMode:
        with binder.bind_clip(state, mode):
            outs.append(net(second))
        decided.append([id(state.active[name]) for name in layers])
    assert decided[0] == decided[1] == decided[2]
    anchor, pos, neg = outs
    assert error(anchor, dense(second)) < EXACT
    assert not torch.equal(pos, neg)
    loss = (anchor - pos).square().mean() + state.skip_ratio()
    loss.backward()
    for layer in layers.values():
        assert any(p.grad.abs().sum() > 0 for p in layer.gate.parameters())
    assert net.layer2.conv1.weight.grad is None
    assert 0 <= state.skip_ratio().item() <= 1


def test_the_first_rule_that_matches_decides():
    net = gated(
        'threshold',
        patch_size=8,
        rules=[
            ('conv1', 'skip'),
            ('re:layer1[.]1', 'gate', dict(gate='exact', break_even=0.5)),
            dict(pattern='layer1.*', action='gate', patch_size=4),
        ],
    )
    sizes = {k: v.gate.patch_size[0] for k, v in gated_layers(net).items()}
    assert sizes == {'layer1.0': 4, 'layer1.1': 8, 'layer2': 8}
    assert net.layer1[1].break_even == 0.5
    assert type(net.layer1[1].gate).__name__ == 'ExactGate'
    by_name = gated(patch_size=lambda name: 2 if 'layer1' in name else 4)
    sizes = [layer.gate.patch_size for layer in gated_layers(by_name).values()]
    assert sizes == [(16, 16), (2, 2), (2, 2), (4, 4)]
    first = gated(rules=[('type:Block', 'skip')])
    assert list(gated_layers(first)) == ['conv1']
    narrow = [(lambda _, block: hasattr(block, 'maxpool'), 'skip')]
    assert 'conv1' not in gated_layers(gated(rules=narrow))


SAMPLED = dict(type='exact', sample_channels=2)


@pytest.mark.parametrize(
    ('options', 'error', 'text'),
    [
        (dict(place='here'), ValueError, "got 'here'"),
        (dict(reuse='both'), ValueError, "got 'both'"),
        (dict(break_even=2), ValueError, 'got 2'),
        (dict(break_even='half'), TypeError, "got 'half'"),
        (dict(rules=[('nope*', 'skip')]), ValueError, 'matches none'),
        (dict(rules=[('*', 'gate', dict(size=3))]), ValueError, "'size'"),
        (dict(rules=[('*', 'skip')]), ValueError, 'no layer to gate'),
        (dict(rules=[dict(pattern='*', enabled='no')]), ValueError, "'gate'"),
        (dict(hidden='forget'), ValueError, "hidden must be .*'forget'"),
        (dict(reuse='input', gate=SAMPLED), ValueError, 'sample_channels'),
    ],
)
def test_bad_options_leave_the_model_as_it_was(options, error, text):
    net = small_net()
    with pytest.raises(error, match=text):
        apply_patch_gates(net, **options)
    assert_stock(net)
