# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gates with what else changes the class of a layer."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, weight_norm

from mask_plugins.core.composed import Composed, compose, decompose
from mask_plugins.core.patches import (
    StreamState,
    apply_patch_gates,
    gate_module,
    remove_patch_gates,
)
from mask_plugins.core.weights import ScoreMask, apply_weight_masks
from tests.core.patches.small_net import (
    EXACT,
    assert_stock,
    error,
    gated,
    run,
    small_net,
)


class HalfMixin(Composed):
    """Computes with half of the weight, as masks do."""

    order = 10
    transient = ('_effective',)
    _effective = None

    @classmethod
    def class_body(cls, key):
        def read(self):
            own = self._parameters['weight']
            return own if self._effective is None else self._effective

        return dict(weight=property(read))

    def forward(self, x):
        self._effective = self.factor * self._parameters['weight']
        try:
            return super().forward(x)
        finally:
            self._effective = None


def mask(conv):
    conv.factor = 0.5
    return compose(conv, HalfMixin)


@pytest.mark.parametrize('first', ['mask', 'gate'])
def test_a_masked_convolution_computes_with_its_effective_weight(first):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3, padding=1).eval()
    steps = [mask, lambda conv: gate_module(conv, 'exact')]
    for step in steps if first == 'mask' else reversed(steps):
        step(conv)
    twin = copy.deepcopy(conv)
    assert type(twin) is type(conv)
    frames = torch.randn(1, 3, 16, 16).expand(3, -1, -1, -1, -1).clone()
    frames[1:, ..., 3, 3] += 1
    state = StreamState(scene_cut=0)
    for frame in frames:
        expected = nn.functional.conv2d(
            frame, conv._parameters['weight'] / 2, conv.bias, padding=1
        )
        assert torch.equal(conv(frame), expected)
        assert error(run(conv, state, frame, 'sparse'), expected) < EXACT
    assert state.stats()[''].skipped_patches == 4 + 3  # of 2 x 2
    conv.factor = 0.25  # another weight: everything is computed again
    out = run(conv, state, frames[2], 'sparse')
    assert error(out, conv(frames[2])) < EXACT
    decompose(conv, HalfMixin)
    assert error(run(conv, state, frames[2]), conv(frames[2])) < EXACT
    assert type(remove_patch_gates(conv)) is nn.Conv2d


@pytest.mark.parametrize('change', [parametrizations.weight_norm, weight_norm])
def test_a_weight_that_is_computed_for_each_call(change):
    torch.manual_seed(0)
    conv = change(nn.Conv2d(3, 4, 3, padding=1)).eval()
    gate_module(conv, 'exact')
    state, frame = StreamState(), torch.randn(1, 3, 16, 16)
    for _ in range(3):
        assert error(run(conv, state, frame), conv(frame)) < EXACT
    assert state.stats()[''].dense_frames == 1
    with torch.no_grad():
        next(conv.parameters()).mul_(2)
        for parameter in conv.parameters():
            parameter.add_(0.1)
    assert error(run(conv, state, frame), conv(frame)) < EXACT


@pytest.mark.parametrize('place', ['block', 'conv'])
def test_copies_pickles_and_files(place):
    net, frame = gated(place=place), torch.randn(1, 3, 64, 64)
    expected = small_net()(frame)
    run(net, StreamState(), frame)
    torch.save(net, file := io.BytesIO())
    file.seek(0)
    for twin in (
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
        torch.load(file, weights_only=False),
    ):
        kinds = zip(twin.modules(), net.modules())
        assert all(type(a) is type(b) for a, b in kinds)
        assert torch.equal(twin(frame), expected)
        assert error(run(twin, StreamState(), frame), expected) < EXACT
        assert_stock(remove_patch_gates(twin))


@pytest.mark.parametrize('first', ['mask', 'gate'])
def test_masks_of_weights_and_gates_in_either_order(first):

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)).eval()
    steps = [
        lambda: apply_weight_masks(net, [('*weight', 'mask')], ScoreMask),
        lambda: apply_patch_gates(net, 'exact', 'conv', patch_size=4),
    ]
    for step in steps if first == 'mask' else reversed(steps):
        step()
    for name, parameter in net.named_parameters():
        if 'scores' in name:
            nn.init.normal_(parameter)
    state, frame = StreamState(scene_cut=0), torch.randn(1, 3, 16, 16)
    for _ in range(3):
        frame = frame.clone()
        frame[..., :3, :3] += 1
        assert error(run(net, state, frame, 'sparse'), net(frame)) < EXACT
    assert state.stats()['0'].dense_frames == 1
    assert state.stats()['0'].skipped_patches > 0
