# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A small residual network with every kind of part that can be gated."""

import torch
from torch import nn

from mask_plugins.core.patches import StreamBinder, apply_patch_gates
from tests.common.rounding import error, rounding

__all__ = ['error']


class Block(nn.Module):
    """A BasicBlock."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class SmallNet(nn.Module):
    """A ResNet of three blocks."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block(8, 8), Block(8, 16, 2))
        self.layer2 = Block(16, 16)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer2(self.layer1(x))


def small_net(seed=0):
    """In eval mode, with statistics that a folding must get right."""
    torch.manual_seed(seed)
    net = SmallNet()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return net.eval()


def gated(gate='exact', patch_size=4, **options):
    """The small network with gates."""
    return apply_patch_gates(
        small_net(), gate, patch_size=patch_size, **options
    )


def video(count, size=(64, 72), seed=0):
    """A still scene of noise with a square that moves."""
    generator = torch.Generator().manual_seed(seed)
    scene = torch.randn(1, 3, *size, generator=generator)
    for t in range(count):
        frame = scene.clone()
        at = 5 * t % 40
        frame[:, :, at : at + 9, at : at + 9] += 2
        yield frame


@torch.no_grad()
def run(net, states, frame, execution='auto', binder=None):
    """A copy of the output for one frame of each stream."""
    with (binder or StreamBinder(net)).bind(states, execution):
        return net(frame).clone()


def assert_equal(found, expected):
    """Two state dicts have the same keys and bits."""
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], expected[key]) for key in found)


def assert_stock(net):
    """No gate has left anything in the small network."""
    stock = small_net()
    for ours, theirs in zip(net.modules(), stock.modules()):
        assert type(ours) is type(theirs)
        assert ours.__dict__.keys() == theirs.__dict__.keys()
    assert_equal(net.state_dict(), stock.state_dict())


#: Where small networks are computed in another way.
EXACT = rounding(SmallNet())
