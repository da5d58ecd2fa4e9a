# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Maps between the operations of a block, cached or computed again."""

import copy

import pytest
import torch
from torch import nn

from mask_plugins.core.patches import StreamState, gate_module
from tests.core.patches.small_net import (
    EXACT,
    Block,
    error,
    gated,
    run,
    small_net,
    video,
)


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
        out = run(net, state, frame, 'sparse')
        held = state.slots['0'].memory.ref
        assert error(out, stock(held)) < EXACT
    assert state.stats()['0'].skipped_patches > 0


def test_streams_join_and_leave_with_their_hidden_maps():
    net, dense = gated('exact'), small_net()
    first, second = StreamState(), StreamState()
    frames = list(video(5))
    others = [frame.flip(-1) for frame in frames]
    run(net, first, frames[0])
    run(net, [first, second], torch.cat([frames[1], others[1]]))
    out = run(net, [second, first], torch.cat([others[2], frames[2]]))
    assert error(out, dense(torch.cat([others[2], frames[2]]))) < EXACT
    twin = copy.deepcopy(second)
    out = run(net, second, others[3])
    assert out.equal(run(net, twin, others[3]))
    assert error(out, dense(others[3])) < EXACT
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
            run(net, state, frame, 'sparse')
        stats = state.stats()['0']
        skipped = stats.skipped_macs + stats.gate_macs
        if hidden == 'cache':
            share = stats.skipped_patches / stats.patches
            assert skipped == pytest.approx(share * stats.macs)
        else:
            assert skipped < 0.5 * share * stats.macs


def test_state_is_at_most_twice_what_it_caches():
    sizes = []
    for channels in (None, 2):
        gate = dict(type='threshold', threshold=0.05, sample_channels=channels)
        net = gated(gate, hidden='cache')
        state = StreamState()
        for frame in video(3):
            run(net, state, frame)
        sizes.append(state.memory_bytes() - state.cached_bytes())
        assert state.memory_bytes() <= 2 * state.cached_bytes()
    assert sizes[1] < 0.8 * sizes[0]


def test_sampled_channels_are_compared_and_kept():
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 4, 3, padding=1).eval()
    gate = dict(type='threshold', threshold=0.1, sample_channels=2)
    gate_module(conv, dict(gate, patch_size=4))
    net, state = nn.Sequential(conv).eval(), StreamState(0, 0)
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
    with pytest.raises((TypeError, ValueError), match='sample_channels must'):
        gated(dict(type='threshold', sample_channels=value))
