# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Inverted residual blocks with the parts that timm's have."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mask_plugins.analysis.streams.stream_model import best_dense
from mask_plugins.core.patches import (
    StreamState,
    apply_patch_gates,
    gated_layers,
    remove_patch_gates,
)
from tests.common.rounding import error, rounding
from tests.core.patches.small_net import run, video


class Conv2dSame(nn.Conv2d):
    """Pads as TensorFlow does."""

    def forward(self, x):
        pads = []
        for side, kernel, stride in zip(
            x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1]
        ):
            total = max(0, (-(-side // stride) - 1) * stride + kernel - side)
            pads += [total // 2, total - total // 2]
        return self._conv_forward(F.pad(x, pads), self.weight, self.bias)


class NormAct(nn.BatchNorm2d):
    """A norm and its activation."""

    def __init__(self, channels, act=True):
        super().__init__(channels)
        self.running_mean.normal_(0, 0.1)
        self.running_var.uniform_(0.5, 1.5)
        self.act = nn.ReLU6(inplace=True) if act else nn.Identity()

    def forward(self, x):
        return self.act(super().forward(x))


class Inverted(nn.Module):
    """Wide in the middle, where it is depthwise."""

    def __init__(self, inputs, outputs, kernel=3, stride=1):
        super().__init__()
        wide = 4 * inputs
        kind = nn.Conv2d if stride == 1 else Conv2dSame
        pad = dict(padding=kernel // 2) if stride == 1 else {}
        self.conv_pw = nn.Conv2d(inputs, wide, 1, bias=False)
        self.bn1 = NormAct(wide)
        self.conv_dw = kind(wide, wide, kernel, stride, groups=wide,
                            bias=False, **pad)  # fmt: skip
        self.bn2 = NormAct(wide)
        self.conv_pwl = nn.Conv2d(wide, outputs, 1, bias=False)
        self.bn3 = NormAct(outputs, act=False)
        self.has_skip = stride == 1 and inputs == outputs

    def forward(self, x):
        out = self.bn2(self.conv_dw(self.bn1(self.conv_pw(x))))
        out = self.bn3(self.conv_pwl(out))
        return out + x if self.has_skip else out


class Separable(nn.Module):
    """The first block: no expansion."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv_dw = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs)
        self.bn1 = NormAct(inputs)
        self.conv_pw = nn.Conv2d(inputs, outputs, 1)
        self.bn2 = NormAct(outputs, act=False)
        self.has_skip = False

    def forward(self, x):
        return self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))


def inverted_net():
    torch.manual_seed(0)
    blocks = (Separable(3, 4), Inverted(4, 6, 3, 2), Inverted(6, 6, 5),
              Inverted(6, 8, 5, 2))  # fmt: skip
    return nn.Sequential(*blocks).eval()


@pytest.mark.parametrize('size', [(48, 56), (45, 51)])
@pytest.mark.parametrize('hidden', ['cache', 'recompute'])
@pytest.mark.parametrize('fold', [best_dense, lambda net: net])
def test_exact_gates_equal_the_blocks(size, hidden, fold):
    net = inverted_net()
    gated = apply_patch_gates(
        copy.deepcopy(fold(net)), 'exact', patch_size=4, hidden=hidden
    )
    assert list(gated_layers(gated)) == ['0', '1', '2', '3']
    state = StreamState(scene_cut=0)
    for frame in video(4, size):
        expected = net(frame)
        assert error(run(gated, state, frame, 'sparse'), expected) < rounding(
            net
        )
    assert state.skip_ratio() > 0
    assert type(remove_patch_gates(gated)[1]) is Inverted


@pytest.mark.parametrize('size', [(16, 16), (15, 18)])
def test_single_convolutions_with_this_padding(size):
    torch.manual_seed(0)
    conv = nn.Sequential(Conv2dSame(3, 4, 3, 2)).eval()
    gated = apply_patch_gates(
        copy.deepcopy(conv), 'exact', place='conv', patch_size=4
    )
    state = StreamState(scene_cut=0)
    for frame in video(3, size):
        out = run(gated, state, frame, 'sparse')
        assert error(out, conv(frame)) < 1e-6


def test_blocks_that_do_more_are_refused():
    class Attends(Inverted):
        def forward(self, x):
            return super().forward(x) * x.mean()

    with pytest.raises(TypeError, match='does more than its parts'):
        apply_patch_gates(nn.Sequential(Attends(4, 4)))
