# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Maps between the operations of a block, cached or computed again."""

import copy

import pytest
import torch
from torch import nn

from mask_plugins.core.patches import (
    StreamBinder,
    StreamState,
    apply_patch_gates,
    gate_module,
)
from tests.core.patches.small_net import Block, small_net


def video(count, size=(48, 48), batch=1):
    """A still scene with one corner in motion."""
    generator = torch.Generator().manual_seed(0)
    scene = torch.randn(batch, 3, *size, generator=generator)
    for number in range(count):
        frame = scene.clone()
        at = number % 3
        frame[..., 4 + at : 9 + at, 3:8] += 1
        yield frame


def gated(gate, **options):
    net = small_net()
    rules = [dict(pattern='*', hidden=options.pop('hidden', 'cache'))]
    apply_patch_gates(net, gate, patch_size=4, rules=rules, **options)
    return net


def run(net, states, frame, execution='sparse'):
    with torch.no_grad(), StreamBinder(net).bind(states, execution):
        return net(frame).clone()


def error(output, target):
    return float((output - target).abs().max() / target.abs().max())


@pytest.mark.parametrize('size', [(48, 48), (45, 51)])
@pytest.mark.parametrize('reuse', ['output', 'input'])
@pytest.mark.parametrize('hidden', ['cache', 'recompute'])
def test_exact_gate_equals_dense_and_skips(hidden, reuse, size):
    net, dense = gated('exact', hidden=hidden, reuse=reuse), small_net()
    state = StreamState()
    for frame in video(6, size):
        assert error(run(net, state, frame), dense(frame)) < 1e-5
    assert sum(s.skipped_patches for s in state.stats().values()) > 0
    assert all(s.dense_frames == 1 for s in state.stats().values())


@pytest.mark.parametrize('hidden', ['cache', 'recompute'])
def test_held_inputs_give_the_same_for_any_decision(hidden):
    """The composed input through the dense block, whatever the gate says."""
    torch.manual_seed(0)
    block = Block(4, 8, 2).eval()
    stock = copy.deepcopy(block)
    gate_module(
        block,
        dict(type='random', skip_ratio=0.6, seed=3, patch_size=4),
        reuse='input',
        hidden=hidden,
    )
    net, state = nn.Sequential(block).eval(), StreamState(scene_cut=0)
    for frame in torch.randn(6, 1, 4, 22, 26):
        out = run(net, state, frame)
        held = state.slots['0'].memory.ref
        assert error(out, stock(held)) < 1e-5
    assert state.stats()['0'].skipped_patches > 0


def test_streams_join_and_leave_with_their_hidden_maps():
    net, dense = gated('exact'), small_net()
    first, second = StreamState(), StreamState()
    frames = list(video(5))
    others = [frame.flip(-1) for frame in frames]
    run(net, first, frames[0])
    run(net, [first, second], torch.cat([frames[1], others[1]]))
    out = run(net, [second, first], torch.cat([others[2], frames[2]]))
    assert error(out, dense(torch.cat([others[2], frames[2]]))) < 1e-5
    twin = copy.deepcopy(second)
    out = run(net, second, others[3])
    assert out.equal(run(net, twin, others[3]))
    assert error(out, dense(others[3])) < 1e-5
    assert twin.memory_bytes() == second.memory_bytes()


def test_macs_have_no_halo():
    """What is skipped is just the share of the patches."""
    torch.manual_seed(0)
    for hidden in ('cache', 'recompute'):
        block = Block(8, 8).eval()
        gate = dict(type='random', skip_ratio=0.5, seed=0, patch_size=4)
        gate_module(block, gate, hidden=hidden)
        net, state = nn.Sequential(block).eval(), StreamState(scene_cut=0)
        for frame in torch.randn(2, 1, 8, 32, 32):
            run(net, state, frame)
        stats = state.stats()['0']
        skipped = stats.skipped_macs + stats.gate_macs
        if hidden == 'cache':
            share = stats.skipped_patches / stats.patches
            assert skipped == pytest.approx(share * stats.macs)
        else:
            assert skipped < 0.5 * share * stats.macs


def test_state_is_at_most_twice_what_it_caches():
    sizes = {}
    for name, options in (
        ('full', {}),
        ('sampled', dict(sample_channels=2)),
    ):
        net = gated(dict(type='threshold', threshold=0.05, **options))
        state = StreamState()
        for frame in video(3):
            run(net, state, frame)
        sizes[name] = state.memory_bytes() - state.cached_bytes()
        assert state.memory_bytes() <= 2 * state.cached_bytes()
    assert sizes['sampled'] < 0.8 * sizes['full']


def test_sampled_channels_are_compared_and_kept():
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 4, 3, padding=1).eval()
    gate = dict(type='threshold', threshold=0.1, sample_channels=2)
    gate_module(conv, dict(gate, patch_size=4))
    net, state = nn.Sequential(conv).eval(), StreamState(scene_cut=0)
    frame = torch.randn(1, 6, 16, 16)
    run(net, state, frame)
    assert state.slots['0'].memory.ref.shape == (1, 2, 16, 16)
    unseen = frame.clone()
    unseen[:, 2:] += 1
    before = run(net, state, frame)
    assert run(net, state, unseen).equal(before)
    seen = frame.clone()
    seen[:, 0, 5, 5] = float('nan')
    assert run(net, state, seen).isnan().any()


@pytest.mark.parametrize('value', [0, -1, 1.5, True, (2, 3)])
def test_a_wrong_number_of_channels(value):
    with pytest.raises(ValueError, match='sample_channels must be'):
        gated(dict(type='threshold', sample_channels=value))


def test_held_inputs_need_all_channels():
    with pytest.raises(ValueError, match='sample_channels must be None'):
        gated(dict(type='threshold', sample_channels=4), reuse='input')


def test_an_unknown_way_to_treat_hidden_maps():
    with pytest.raises(ValueError, match="hidden must be one of .*'forget'"):
        gated('exact', hidden='forget')
