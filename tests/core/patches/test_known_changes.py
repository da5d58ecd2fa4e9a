# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gates that look only where something has changed decide as they did."""

import copy

import pytest
import torch

from mask_plugins import native
from mask_plugins.core.patches import StreamBinder, StreamState
from mask_plugins.core.patches.layer_memory import LayerMemory
from tests.core.patches.small_net import gated, video

pytestmark = pytest.mark.skipif(
    native.library() is None, reason=native.status()
)
GATE = dict(type='threshold', threshold=0.1, sample_channels=4)


def outputs(monkeypatch, known, batches, **options):
    """Of batches of (streams, frame number); and what was known, by layer."""
    seen, changes = [], LayerMemory.changes

    def watched(self, *args):
        found = changes(self, *args)
        seen.append(found is not None and found.stale is not None)
        return found if known else None

    monkeypatch.setattr(LayerMemory, 'changes', watched)
    net = gated(**{**dict(gate=dict(GATE)), **options})
    states, binder = [StreamState(4) for _ in range(3)], StreamBinder(net)
    clips = [list(video(12, seed=seed)) for seed in range(3)]
    found = []
    with torch.no_grad():
        for streams, at in batches:
            frame = torch.cat([clips[stream][at] for stream in streams])
            with binder.bind([states[stream] for stream in streams]):
                found.append(net(frame).clone())
    patches = [
        (name, stats.skipped_patches)
        for state in states
        for name, stats in state.stats().items()
    ]
    return found, patches, seen


BATCHES = {
    'one stream': [([0], at) for at in range(12)],
    'three': [([0, 1, 2], at) for at in range(8)],
    'join, leave, move': [
        ([0], 0), ([0, 1], 1), ([0, 1], 2), ([1, 0], 3), ([1, 0], 4),
        ([0], 5), ([0], 6), ([2, 0], 7), ([2, 0], 8), ([2, 0], 9),
    ],
    'turns': [([at % 2], at) for at in range(10)],
}  # fmt: skip


@pytest.mark.parametrize('batches', BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(place='conv'),
        dict(reuse='input', gate=dict(type='threshold', threshold=0.1)),
        dict(hidden='recompute'),
        dict(gate=dict(type='topk', k=0.3)),
        dict(break_even=0.7),
    ],
    ids=str,
)
def test_decisions_and_outputs_are_the_same(monkeypatch, batches, options):
    with monkeypatch.context() as patched:
        expected = outputs(patched, False, batches, **options)
    with monkeypatch.context() as patched:
        found = outputs(patched, True, batches, **options)
    assert found[1] == expected[1]
    assert any(count for _, count in found[1])
    assert all(map(torch.equal, found[0], expected[0]))
    # A norm stands between convolutions that are gated one by one.
    # Torch, in place of the kernels, leaves nothing to know.
    compiled = native.library() is not None
    assert any(found[2]) == (compiled and 'place' not in options)


def test_nothing_is_known_of_an_input_that_is_not_an_output():
    net, state = gated(dict(GATE)), StreamState()
    binder, block = StreamBinder(net), net.layer1[1]
    block.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    with torch.no_grad():
        for frame in video(4):
            with binder.bind(state):
                net(frame)
    slot = state.slots['layer1.1']
    assert not slot.memory.change_bytes()
    assert state.slots['layer1.0'].memory.change_bytes()
    twin = copy.deepcopy(state)
    assert not twin.slots['layer1.0'].memory.change_bytes()


def test_a_change_in_place_between_two_layers_is_seen():
    torch.manual_seed(0)
    net, state = gated(dict(GATE)), StreamState(0)
    binder, add = StreamBinder(net), [0.0]
    net.layer1[1].register_forward_pre_hook(
        lambda module, args: (args[0].add_(add[0]),)
    )
    frame = next(video(1))
    with torch.no_grad():
        for step in (0, 0, 100.0):
            add[0] = step
            with binder.bind(state):
                net(frame)
    assert state.stats()['layer1.1'].active.all()


def test_frames_that_torch_compared_are_not_relied_on(monkeypatch):
    """The kernels were off in between: nothing is known of those frames."""
    clip, states = list(video(9)), (StreamState(0), StreamState(0))
    net = gated(dict(GATE))
    binder, found = StreamBinder(net), ([], [])
    for off, state, outs in zip((range(2, 5), range(9)), states, found):
        for at, frame in enumerate(clip):
            monkeypatch.setenv(native.SWITCH, str(int(at not in off)))
            with torch.no_grad(), binder.bind(state):
                net(frame)
            active = [s.active.clone() for s in state.stats().values()]
            outs.append(active)
    for ours, theirs in zip(*found):
        assert all(map(torch.equal, ours, theirs))
