# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gated layers on streams: exactness, states, refreshes, independence."""

import copy

import pytest
import torch
from torch import nn

from mask_plugins.core.patches import (
    GatedConv2d,
    StreamBinder,
    StreamState,
    gated_layers,
    remove_patch_gates,
    set_running_mode,
)
from mask_plugins.core.patches.rolling_refresh import due_patches
from tests.core.patches.small_net import (
    EXACT,
    SmallNet,
    assert_equal,
    assert_stock,
    error,
    gated,
    run,
    small_net,
    video,
)


@pytest.mark.parametrize('size', [(48, 48), (45, 51)])
@pytest.mark.parametrize(
    'options',
    [{}, dict(place='conv'), dict(hidden='cache'), dict(hidden='recompute')],
    ids=str,
)
@pytest.mark.parametrize('reuse', ['output', 'input'])
@pytest.mark.parametrize('execution', ['auto', 'sparse', 'dense'])
def test_exact_gate_equals_dense_on_every_frame(
    options, reuse, execution, size
):
    net, dense = gated(reuse=reuse, **options), small_net()
    state = StreamState()
    for frame in video(8, size):
        out = run(net, state, frame, execution)
        assert error(out, dense(frame)) < EXACT
    stats = state.stats().values()
    assert any(s.skipped_patches for s in stats) == (execution != 'dense')
    if execution == 'sparse':
        assert all(s.dense_frames == 1 for s in stats)


def test_unbound_layers_are_the_stock_ones_bit_for_bit():
    net, dense = gated('none'), small_net()
    frame = next(video(1))
    assert_equal(net.state_dict(), dense.state_dict())
    assert torch.equal(net(frame), dense(frame))
    assert_stock(remove_patch_gates(net))


@pytest.mark.parametrize('gate', ['all', 'none'])
def test_gate_all_and_bypassed_gates_call_the_dense_path(gate):
    net, dense, state = gated(gate), small_net(), StreamState()
    if gate == 'none':
        set_running_mode(net, 'BackboneTest')
    for frame in video(3):
        assert torch.equal(run(net, state, frame), dense(frame))


def test_gate_none_returns_the_first_frame_until_reset():
    net, dense = gated('none'), small_net()
    state = StreamState(scene_cut=0)
    frames = list(video(3))
    for frame in frames:
        assert error(run(net, state, frame), dense(frames[0])) < EXACT
    state.reset()
    assert error(run(net, state, frames[2]), dense(frames[2])) < EXACT


def test_scene_cut():
    net, dense, state = gated('none'), small_net(), StreamState()
    for frame in (next(video(1)), next(video(1, seed=1))):
        assert error(run(net, state, frame), dense(frame)) < EXACT
    assert state.scene_cuts == 1


def never(**options):
    """The small network, behind gates that skip whatever changes."""
    return gated(dict(type='threshold', threshold=1e6), **options)


@pytest.mark.parametrize('reuse', ['output', 'input'])
def test_every_patch_is_refreshed_in_its_turn(reuse):
    net, dense = never(reuse=reuse), small_net()
    state, (first, *_, frame) = StreamState(5, 0), video(8)
    run(net, state, first, 'sparse')
    computed = dict.fromkeys(gated_layers(net), 0)
    for _ in range(5):
        run(net, state, frame, 'sparse')
        for name, stats in state.stats().items():
            patches = stats.active.numel()
            share = -(-patches // 5)
            assert reuse == 'input' or stats.active.sum() in (share - 1, share)
            computed[name] = computed[name] + stats.active.int()
    assert all((count >= 1).all() for count in computed.values())
    # A layer reads what the one before has refreshed; the rims of a part,
    # which were stale then, are right after as many rounds as layers.
    for _ in range(5 * len(computed)):
        out = run(net, state, frame, 'sparse')
    assert error(out, dense(frame)) < EXACT


def test_turns_missed_by_a_dense_layer_are_made_up_for():
    net, state, (first, *_, frame) = never(), StreamState(4, 0), video(8)
    run(net, state, first)
    slots = state.slots.values()
    for slot in slots:
        slot.wait = 3
    for _ in range(3):
        run(net, state, frame)
    assert all((slot.wait, slot.waited) == (0, 3) for slot in slots)
    run(net, state, frame, 'sparse')
    assert all(slot.stats.active.all() for slot in slots)


def test_turns_are_the_same_part_of_the_picture_in_all_grids():
    device = torch.device('cpu')
    for turn in range(10):
        part = due_patches((8, 8), 10, turn, 1, device)
        fine = due_patches((32, 32), 10, turn, 1, device)
        cover = nn.functional.avg_pool2d(fine[None].float(), 4)[0]
        assert cover[~part].sum() <= 0.5 * cover.sum()
        assert (cover[part] >= 0.5).float().mean() >= 0.7
        assert fine.sum() in (102, 103)


def test_frames_are_looked_at_once(monkeypatch):
    net, states, seen = never(), [StreamState(), StreamState()], []
    begin = StreamState.begin
    monkeypatch.setattr(
        StreamState, 'begin', lambda *args: seen.append(begin(*args))
    )
    for frame in video(2):
        run(net, states, frame.repeat(2, 1, 1, 1))
    assert len(seen) == 4  # two frames of two streams, however many layers


def test_shape_dtype_and_weights_refresh():
    net, dense = gated('none'), small_net()
    state = StreamState(scene_cut=0)
    for size in ((64, 64), (40, 56), (64, 64)):
        frame = next(video(1, size))
        assert error(run(net, state, frame), dense(frame)) < EXACT
    with torch.no_grad():
        for model in (net, dense):
            model.layer2.conv1.weight.mul_(2)
    assert error(run(net, state, frame), dense(frame)) < EXACT
    net, dense, frame = net.double(), dense.double(), frame.double()
    assert error(run(net, state, frame), dense(frame)) < EXACT


def test_streams_are_independent_and_may_join_leave_and_move():
    net = gated(dict(type='threshold', threshold=0.2))
    videos = {name: list(video(6, seed=name)) for name in range(3)}
    alone = {}
    for name, frames in videos.items():
        state = StreamState()
        alone[name] = [run(net, state, frame) for frame in frames]
    states = {name: StreamState() for name in videos}
    binder = StreamBinder(net)
    plan = [(0,), (0, 1), (1, 0, 2), (2, 1), (2, 0, 1), (0, 2), (1, 2), (2,)]
    for batch in plan:
        bound = [states[name] for name in batch]
        at = [(name, states[name].frame) for name in batch]
        frames = torch.cat([videos[name][t] for name, t in at])
        out = run(net, bound, frames, binder=binder)
        for row, (name, t) in zip(out, at):
            assert error(row, alone[name][t][0]) < EXACT


def test_a_consumer_that_works_in_place_spoils_nothing():
    torch.manual_seed(0)
    conv = GatedConv2d(3, 4, 3, padding=1, gate=dict(type='exact'))
    net = nn.Sequential(conv, nn.ReLU(inplace=True)).eval()
    state = StreamState()
    for frame in video(6):
        out = run(net, state, frame, 'sparse')
        expected = conv.dense(frame).relu()
        assert error(out, expected) < EXACT
    stats = state.stats()['0']
    assert stats.dense_frames == 2  # the first, and once when found out


def test_nan_marks_patches_active_and_goes_away_again():
    net, dense = gated(dict(type='threshold', threshold=5.0)), small_net()
    frame = next(video(1))
    bad = frame.clone()
    bad[:, :, 30, 30] = float('nan')
    state = StreamState(scene_cut=0)
    run(net, state, frame)
    assert run(net, state, bad).isnan().any()
    out = run(net, state, frame)
    assert out.isfinite().all()
    assert error(out, dense(frame)) < EXACT


@pytest.mark.parametrize('reuse', ['output', 'input'])
def test_drift_stays_bounded_in_a_slow_fade(reuse):
    torch.manual_seed(0)
    gate = dict(type='threshold', threshold=0.05, relative=False)
    conv = GatedConv2d(2, 3, 3, padding=1, gate=gate, reuse=reuse).eval()
    binder, state = StreamBinder(conv), StreamState(0, 0)
    scene = torch.rand(1, 2, 16, 16)
    # A value that is held is wrong by the threshold at most, twice for a
    # neighbor that was read when another patch was computed.
    bound = 2 * 0.05 * float(conv.weight.abs().sum((1, 2, 3)).max()) * 4
    worst = 0.0
    for t in range(2000):
        frame = scene * (1 - 0.9 * t / 2000)
        out = run(conv, state, frame, 'sparse', binder)
        worst = max(worst, float((out - conv.dense(frame)).abs().max()))
    assert 0 < worst < bound
    assert state.stats()[''].skip_ratio > 0.8


def test_evaluation_is_deterministic_also_in_inference_mode():
    net = gated('pooled')
    states = [StreamState(), StreamState()]
    for frame in video(4):
        first = run(net, states[0], frame)
        with torch.inference_mode(), StreamBinder(net).bind(states[1]):
            second = net(frame)
        assert torch.equal(first, second)


def test_nothing_is_left_behind():
    net = gated()
    keys = list(net.state_dict())
    state = StreamState()
    frame = next(video(1))
    bad = torch.zeros(1, 4, 64, 64)
    run(net, state, frame)
    with pytest.raises(RuntimeError, match='channels'):
        run(net, state, bad)
    assert state.slots == {}
    assert torch.equal(net(frame), small_net()(frame))
    assert list(net.state_dict()) == keys
    run(net, state, frame)
    assert state.memory_bytes() > state.cached_bytes() > 0
    twin = copy.deepcopy(state)
    assert twin.memory_bytes() == state.memory_bytes()


def test_bad_bindings():
    net, state = gated(), StreamState()
    binder, two = StreamBinder(net), torch.zeros(2, 3, 64, 64)
    with pytest.raises(ValueError, match='one twice'):
        run(net, [state, state], two)
    with pytest.raises(ValueError, match='one state per sample, 2, got 1'):
        run(net, [state], two)
    with pytest.raises(ValueError, match="got 'fast'"):
        run(net, [state], two[:1], 'fast')
    with binder.bind(state):
        other = binder.bind(StreamState())
        with pytest.raises(RuntimeError, match='bound by another'):
            other.__enter__()
    net.train()
    with pytest.raises(RuntimeError, match='call eval'):
        run(net, state, two[:1])
    with pytest.raises(ValueError, match='no gated layers'):
        StreamBinder(SmallNet())
    for name, value, kind in (
        ('refresh_every', -1, ValueError),
        ('refresh_every', True, TypeError),
        ('scene_cut', float('nan'), ValueError),
        ('scene_cut', 'no', TypeError),
    ):
        with pytest.raises(kind, match=name):
            StreamState(**{name: value})


def test_layers_named_in_a_config_become_stock_ones_too():
    net = nn.Sequential(GatedConv2d(3, 4, 3))
    assert list(gated_layers(net)) == ['0']
    assert type(remove_patch_gates(net)[0]) is nn.Conv2d
