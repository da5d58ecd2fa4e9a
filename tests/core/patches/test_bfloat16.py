# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Under autocast references and caches are bfloat16."""

import pytest
import torch

from mask_plugins import native
from mask_plugins.core.patches import StreamState, apply_patch_gates
from mask_plugins.core.patches.compiled_chain import CompiledChain
from tests.core.patches.small_net import error, run, small_net, video


def frames_of(net, dtype, count=4):
    """Outputs of a video, and the state after it."""
    state, found = StreamState(), []
    half = dtype is torch.bfloat16
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        for frame in video(count):
            found.append(run(net, state, frame, 'sparse'))
    return found, state


def test_the_state_is_half_and_the_error_that_of_the_format():
    net = apply_patch_gates(small_net(), 'exact', patch_size=4)
    full, state = frames_of(net, torch.float32)
    half, small = frames_of(net, torch.bfloat16)
    assert small.memory_bytes() * 2 == state.memory_bytes()
    assert {t.dtype for s in small.slots.values() for t in s.tensors()} == {
        torch.bfloat16
    }
    assert small.skip_ratio() > 0.2
    assert max(map(error, half, full)) < 2e-2


def test_kernels_and_torch_agree(monkeypatch, path):
    if native.library() is None:
        pytest.skip(native.status())
    found = []
    for switch in ('0', *native.runnable()):
        monkeypatch.setenv(native.SWITCH, switch)
        net = apply_patch_gates(small_net(), 'exact', patch_size=4)
        found.append(frames_of(net, torch.bfloat16))
    (plain, other), *builds = found
    for ours, state in builds:
        assert max(map(error, ours, plain)) < 2e-2
        # A value that is computed again may round the other way.
        assert abs(state.skip_ratio() - other.skip_ratio()) < 0.02


@pytest.mark.parametrize('place', ['block', 'conv'])
@pytest.mark.parametrize('hidden', ['cache', 'recompute'])
def test_kernels_run_all_of_it(monkeypatch, path, place, hidden):
    """Blocks, shortcuts, stem and pooling: nothing falls back unseen."""
    if native.library() is None:
        pytest.skip(native.status())
    done = []
    own = CompiledChain.run

    def spy(self, *args):
        done.append(own(self, *args))
        return done[-1]

    monkeypatch.setattr(CompiledChain, 'run', spy)
    net = apply_patch_gates(
        small_net(), 'exact', place, patch_size=4, hidden=hidden
    )
    for dtype in (torch.float32, torch.bfloat16):
        frames_of(net, dtype)
    assert done
    assert all(done)


def test_decisions_do_not_depend_on_the_kernels(monkeypatch, path):
    if native.library() is None:
        pytest.skip(native.status())
    found = []
    for switch in ('0', *native.runnable()):
        monkeypatch.setenv(native.SWITCH, switch)
        net = apply_patch_gates(
            small_net(), dict(type='threshold', threshold=0.3), patch_size=4
        )
        state, decided = StreamState(), []
        for frame in video(8):
            run(net, state, frame, 'sparse')
            decided += [s.active.clone() for s in state.stats().values()]
        found.append(decided)
    for others in found[1:]:
        assert all(map(torch.equal, found[0], others))
    assert 0 < sum(a.float().mean() for a in found[0]) < len(found[0])
