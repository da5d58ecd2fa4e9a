# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gates and the running modes."""

import copy

import pytest
import torch
from torch import nn

from mask_plugins.core.patches import (
    GATES,
    MaskMode,
    RunningMode,
    build_gate,
    compose_frames,
    set_running_mode,
    upsample_patches,
)
from tests.core.patches.small_net import assert_equal

OPTIONS = dict(convmixer=dict(patch_num=16, dim=8, depth=1, fc_dim=8))


def frames(batch=2):
    x = torch.randn(batch, 3, 16, 16)
    ref = x.clone()
    ref[:, :, 4:8, 8:12] += 1  # patch (1, 2) of 4x4
    return x, ref


def gate_of(name, **kwargs):
    options = dict(OPTIONS.get(name, {}), type=name, patch_size=4)
    return build_gate({**options, **kwargs}, channels=3)


@pytest.mark.parametrize('name', sorted(GATES))
def test_interface(name):
    gate = gate_of(name).eval()
    x, ref = frames()
    scores, active = gate.scores(x, ref), gate(x, ref)
    assert scores.shape == active.shape == (2, 4, 4)
    assert (scores.dtype, active.dtype) == (torch.float32, torch.bool)
    assert gate.macs(3, gate.window_of(x)) >= 0


@pytest.mark.parametrize('name', ['exact', 'threshold', 'topk', 'all', 'none'])
def test_decisions(name):
    x, ref = frames()
    expected = torch.full((2, 4, 4), name == 'all')
    expected[:, 1, 2] = name != 'none'
    gate = gate_of(name, **(dict(k=1) if name == 'topk' else {}))
    assert torch.equal(gate(x, ref), expected)
    assert bool(gate(x, x).any()) == (name == 'all')


def test_topk_keeps_its_budget_and_skips_still_patches():
    gate = gate_of('topk', k=0.25)
    x = torch.randn(1, 3, 16, 16)
    assert gate(x, torch.randn_like(x)).sum() == 4
    gate.k = 100
    assert gate(x, torch.randn_like(x)).all()


@pytest.mark.parametrize('name', ['exact', 'threshold', 'topk', 'pooled'])
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_what_is_not_finite_is_active(name, bad):
    x = torch.zeros(1, 3, 16, 16)
    x[0, 1, 5, 6] = bad
    ref = torch.zeros_like(x)
    assert gate_of(name).eval()(x, ref)[0, 1, 1]


def test_relative_threshold_knows_no_scale():
    x, ref = frames()
    gate = gate_of('threshold', threshold=0.3)
    assert torch.equal(gate(x, ref), gate(1000 * x, 1000 * ref))


@pytest.mark.parametrize('name', ['pooled', 'convmixer'])
def test_learned_gates_sample_and_learn_only_in_pre_training(name):
    gate = gate_of(name)
    x, ref = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 16, 16)
    set_running_mode(gate, RunningMode.GatePreTrain)
    gate.train()
    active = gate(x, ref)
    assert set(active.unique().tolist()) <= {0.0, 1.0}
    active.sum().backward()
    assert any(p.grad.abs().sum() > 0 for p in gate.parameters())
    set_running_mode(gate, 'FineTuning')
    gate.train()
    assert not any(m.training for m in gate.modules())
    before = copy.deepcopy(gate.state_dict())
    first = gate(x, ref)
    assert torch.equal(first, gate(x, ref))
    assert_equal(gate.state_dict(), before)


@pytest.mark.parametrize('name', ['pooled', 'convmixer'])
def test_decisions_do_not_depend_on_the_batch(name):
    gate = gate_of(name).eval()
    x, ref = torch.randn(3, 3, 16, 16), torch.randn(3, 3, 16, 16)
    alone = torch.cat([gate(x[i : i + 1], ref[i : i + 1]) for i in range(3)])
    assert torch.equal(gate(x, ref), alone)


def test_pooled_gate_is_small_and_fits_any_resolution():
    gate = build_gate(dict(type='pooled', patch_size=8), channels=64).eval()
    assert sum(p.numel() for p in gate.parameters()) < 1000
    for size in ((56, 56), (31, 47)):
        x = torch.randn(1, 64, *size)
        grid = (-(-size[0] // 8), -(-size[1] // 8))
        assert gate(x, x).shape == (1, *grid)


@pytest.mark.parametrize(
    ('gate', 'text'),
    [
        ('what', "got 'what'"),
        (dict(type='threshold', threshold=-1), 'got -1'),
        (dict(type='threshold', threshold=float('nan')), 'got nan'),
        (dict(type='threshold', relative='no'), "got 'no'"),
        (dict(type='threshold', reduction='sum'), "got 'sum'"),
        (dict(type='topk', k=1.5), 'got 1.5'),
        (dict(type='random', skip_ratio=2), 'got 2'),
        (dict(type='exact', patch_size=0), 'got 0'),
        (dict(type='convmixer'), 'patch_num'),
    ],
)
def test_bad_gates(gate, text):
    with pytest.raises((TypeError, ValueError), match=text):
        build_gate(gate, channels=3)


def test_invariants_of_the_modes():
    x, ref = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 16, 16)
    active = upsample_patches(torch.rand(2, 4, 4) < 0.5, (4, 4), (16, 16))
    for kind in (active, active.float()):
        pos = compose_frames(x, ref, kind, MaskMode.Positive)
        neg = compose_frames(x, ref, kind, MaskMode.Negative)
        assert torch.equal(compose_frames(x, ref, kind, MaskMode.Anchor), x)
        torch.testing.assert_close(pos + neg, x + ref)
        assert torch.equal(compose_frames(x, x, kind, MaskMode.Negative), x)
    every = torch.ones_like(active)
    for kind, mode, expected in (
        (every, MaskMode.Positive, x),
        (every, MaskMode.Negative, ref),
        (~every, MaskMode.Positive, ref),
        (~every, MaskMode.Negative, x),
    ):
        assert torch.equal(compose_frames(x, ref, kind, mode), expected)


def test_running_modes_set_both_sides_and_keep_what_the_user_froze():
    convs = {name: nn.Conv2d(3, 3, 1) for name in ('frozen', 'free')}
    net = nn.ModuleDict(dict(convs, gate=build_gate('pooled', channels=3)))
    net['frozen'].requires_grad_(False)

    off = dict(gate=False, frozen=False, free=False)
    expected = {
        'GatePreTrain': dict(off, gate=True),
        'FineTuning': dict(off, free=True),
        'BackboneTrain': dict(off, free=True),
        'Test': off,
    }
    for mode in [*expected, *reversed(expected), 'Test', 'Test']:
        set_running_mode(net, mode)
        found = {k: next(m.parameters()) for k, m in net.items()}
        trains = {name: p.requires_grad for name, p in found.items()}
        assert trains == expected[mode], mode
        assert net['gate'].running_mode is RunningMode[mode]
    with pytest.raises(ValueError, match="got 'Sleep'"):
        set_running_mode(net, 'Sleep')
