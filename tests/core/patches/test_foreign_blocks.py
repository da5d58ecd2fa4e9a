# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Blocks whose forward is not that of their convolutions are refused."""

import copy
import random
import types
from contextlib import nullcontext

import pytest
import torch
from mmpretrain.models.backbones.resnet import BasicBlock, Bottleneck
from torch import nn
from torch.nn import functional as F

from mask_plugins.core.patches import (
    StreamBinder,
    StreamState,
    apply_patch_gates,
    gated_layers,
    remove_patch_gates,
)
from tests.core.patches.small_net import (
    EXACT,
    Block,
    SmallNet,
    assert_equal,
    error,
    run,
)


class Stock(Block):
    """A subclass with the forward of its base."""


class Foreign(Block):
    """Base of the blocks that do something else."""

    def __init__(self):
        super().__init__(8, 8)

    def main(self, x):
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))


class OwnModule(Foreign):
    def __init__(self):
        super().__init__()
        self.attention = nn.Linear(8, 8)

    def forward(self, x):
        y = self.main(x)
        gate = self.attention(y.mean((2, 3))).sigmoid()
        return self.relu(x + y * gate[..., None, None])


class OwnParameter(Foreign):
    """Starts at a value that changes nothing."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.relu(x + self.scale * self.main(x))


class OwnBuffer(Foreign):
    def __init__(self):
        super().__init__()
        self.register_buffer('shift', torch.zeros(1))

    def forward(self, x):
        return self.relu(x + self.main(x) + self.shift)


def no_parameters(self, x):
    """Hidden where the last norm starts at zero."""
    y = self.main(x)
    return self.relu(x + y * (y - y.mean((2, 3), True)).sigmoid())


def pre_activation(self, x):
    y = self.conv1(self.relu(self.bn1(x)))
    return x + self.conv2(self.relu(self.bn2(y)))


def other_order(self, x):
    y = self.relu(self.bn2(self.conv2(x)))
    return self.relu(x + self.bn1(self.conv1(y)))


FORWARDS = dict(
    NoParameters=no_parameters,
    PreActivation=pre_activation,
    OtherOrder=other_order,
    Clamp=lambda self, x: self.relu(x + self.main(x)).clamp(max=20),
    NoActivation=lambda self, x: x + self.main(x),
    Scaled=lambda self, x: self.relu(x + 0.999 * self.main(x)),
    Blur=lambda self, x: self.relu(x + F.avg_pool2d(self.main(x), 3, 1, 1)),
    Stochastic=lambda self, x: self.relu(x + self.main(x) * torch.rand(())),
    TwoInputs=lambda self, x, y: self.relu(x + self.main(y)),
)
NoParameters, *OTHERS = (
    type(name, (Foreign,), dict(forward=forward))
    for name, forward in FORWARDS.items()
)


class Standardized(nn.Conv2d):
    """A convolution that changes its weight."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), True)
        return self._conv_forward(x, weight, self.bias)


class OtherConv(Foreign):
    def __init__(self):
        super().__init__()
        self.conv2 = Standardized(8, 8, 3, 1, 1)

    def forward(self, x):
        return self.relu(x + self.main(x))


def replaced():
    block = Block(8, 8)
    block.forward = types.MethodType(lambda self, x: x, block)
    return block


def hooked():
    block = Block(8, 8)
    block.bn1.register_forward_hook(lambda *_: None)
    return block


def replaced_part():
    block = Block(8, 8)
    block.conv2.forward = lambda x: 2 * x
    return block


def other_act():
    class Smooth(nn.ReLU):
        def forward(self, x):
            return F.avg_pool2d(super().forward(x), 3, 1, 1)

    block = Block(8, 8)
    block.relu = Smooth()
    return block


def group_norm():
    block = Block(8, 8)
    block.bn1 = nn.GroupNorm(2, 8)
    return block


FOREIGN = [
    *(OwnModule, OwnParameter, OwnBuffer, NoParameters, *OTHERS, OtherConv),
    *(replaced, hooked, replaced_part, other_act, group_norm),
]


def statistics(block, kind):
    """Norms as they are, made at random, or zero at the end."""
    for norm in block.modules():
        if kind == 'random' and isinstance(norm, nn.BatchNorm2d):
            norm.running_var.uniform_(0.1, 3)
            nn.init.normal_(norm.weight)
    if kind == 'zero' and hasattr(block.bn2, 'running_mean'):
        nn.init.zeros_(block.bn2.weight)
    return block


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('kind', ['fresh', 'random', 'zero'])
@pytest.mark.parametrize('make', FOREIGN, ids=lambda make: make.__name__)
def test_a_foreign_block_is_refused(make, kind, dtype):
    net = nn.Sequential(statistics(make(), kind)).to(dtype)
    before = copy.deepcopy(net)
    seed = torch.get_rng_state(), random.getstate()
    with pytest.raises(TypeError, match="place='conv'|must be"):
        apply_patch_gates(net, 'exact')
    assert torch.equal(torch.get_rng_state(), seed[0])
    assert random.getstate() == seed[1]
    for ours, theirs in zip(net.modules(), before.modules()):
        assert (type(ours), ours.training) == (type(theirs), theirs.training)
    assert_equal(net.state_dict(), before.state_dict())
    if make not in (replaced, replaced_part, group_norm, OtherConv):
        apply_patch_gates(net, 'exact', place='conv')


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    'make',
    [
        lambda: Block(8, 16, 2),
        lambda: Stock(8, 8),
        lambda: BasicBlock(8, 8, with_cp=True, drop_path_rate=0.5),
        lambda: Bottleneck(8, 8, dilation=4),
    ],
)
@pytest.mark.parametrize('kind', ['fresh', 'random', 'zero'])
def test_a_block_that_is_one_is_gated(make, kind, dtype):
    block = make()
    if hasattr(block, 'bn2'):
        statistics(block, kind)
    net = nn.Sequential(block).to(dtype)
    assert list(gated_layers(apply_patch_gates(net))) == ['0']


@pytest.mark.parametrize('make', [BasicBlock, NoParameters])
def test_blocks_without_memory_are_checked_too(make):
    with torch.device('meta'):
        net = nn.Sequential(BasicBlock(8, 8) if make is BasicBlock else make())
    foreign = pytest.raises(TypeError, match="place='conv'")
    with nullcontext() if make is BasicBlock else foreign, torch.device(
        'meta'
    ):
        apply_patch_gates(net)
    assert net[0].conv1.weight.is_meta


def test_an_attribute_that_a_gate_would_replace_is_refused():
    for name in ('gate', 'hidden', 'plan'):
        block = Block(8, 8)
        setattr(block, name, nn.Identity())
        with pytest.raises(TypeError, match=rf"\['{name}'\]"):
            apply_patch_gates(nn.Sequential(block))
        assert type(block) is Block
        assert hasattr(block, name)


def test_a_convolution_with_a_forward_of_its_own_is_refused():
    net = nn.Sequential(Standardized(3, 4, 3))
    with pytest.raises(TypeError, match="0: .*action 'skip'"):
        apply_patch_gates(net, place='conv')


@pytest.mark.parametrize('place', ['between', 'instead', 'twice', 'never'])
def test_a_stem_that_does_more_is_refused(place):
    class Net(SmallNet):
        def forward(self, x):
            x = self.conv1(x)
            if place == 'between':
                x = x * 2
            x = self.relu(self.bn1(x))
            if place == 'instead':
                x = F.avg_pool2d(x, 3, 2, 1)
            elif place != 'never':
                x = self.maxpool(x)
            return self.maxpool(x) if place == 'twice' else x

    torch.manual_seed(0)
    net = Net().eval()
    blocks = [('layer*', 'skip')]
    apply_patch_gates(net, 'exact', patch_size=4, rules=blocks)
    frame = torch.randn(1, 3, 32, 32)
    if place == 'twice':  # the second is a call like any other
        out = run(net, StreamState(), frame)
        assert error(out, remove_patch_gates(net)(frame)) < EXACT
        return
    for _ in range(2):
        with pytest.raises(TypeError, match='stem=False'):
            run(net, StreamState(), frame)
    remove_patch_gates(net)(frame)


def test_a_part_that_changes_later_is_refused_in_the_next_frame():
    net = nn.Sequential(Block(8, 8)).eval()
    apply_patch_gates(net, 'exact')
    state, frame = StreamState(), torch.randn(1, 8, 16, 16)
    run(net, state, frame)
    handle = net[0].conv1.register_forward_hook(lambda *_: None)
    with pytest.raises(TypeError, match='forward hooks'):
        run(net, state, frame)
    handle.remove()
    net[0].bn1 = nn.Identity()
    out = run(net, state, frame)
    assert error(out, remove_patch_gates(net)(frame)) < EXACT
    assert type(net[0]) is Block
    with pytest.raises(ValueError, match='no gated layers'):
        StreamBinder(net)


BRANCHES = dict(
    size=lambda x: x.shape[-1] > 20,
    batch=lambda x: len(x) > 2,
    dtype=lambda x: x.dtype is torch.float32,
    value=lambda x: bool(x.mean() > 0.5),
)


@pytest.mark.parametrize('hidden', ['cache', 'recompute'])
@pytest.mark.parametrize('branch', BRANCHES)
def test_a_block_that_branches_is_refused_where_it_does(branch, hidden):
    class Branches(Foreign):
        def forward(self, x):
            scale = 0.5 if BRANCHES[branch](x) else 1
            return self.relu(x + scale * self.main(x))

    net = nn.Sequential(Branches()).eval().to(torch.float64)
    apply_patch_gates(net, 'exact', hidden=hidden)
    frame = torch.randn(1, 8, 16, 16, dtype=torch.float64)
    state = StreamState()
    for _ in range(2):
        out = run(net, state, frame)
    assert error(out, net[0].dense(frame)) < EXACT
    states = state
    if branch == 'size':
        frame = torch.randn(1, 8, 24, 24, dtype=torch.float64)
    elif branch == 'batch':
        frame, states = (
            frame.repeat(3, 1, 1, 1),
            [StreamState() for _ in 'abc'],
        )
    elif branch == 'dtype':
        net, frame = net.float(), frame.float()
    else:
        frame = frame + 1
        states = StreamState()
        net[0].update_chain()
        net[0].chain.agreed.clear()
    with pytest.raises(TypeError, match=r"a map of .*place='conv'"):
        run(net, states, frame)
