# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The three samples of the original's README, with their mistakes fixed."""

import pytest
import torch
from torch import nn

from mask_plugins.compat.PASS import MaskGate, MaskMode, RunningMode


class YourMaskedConv(nn.Module):
    """The first sample: a gate before any convolution."""

    def __init__(self):
        super().__init__()
        channels = dict(input_channel=3, output_channel=8)
        mode = RunningMode.FineTuning
        self.gate = MaskGate(4, 1024, running_mode=mode, **channels)
        # Fixed: one name for the convolution.
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.previous_x = None

    def set_running_mode(self, mode):
        """As printed: the convolution is frozen, and never freed again."""
        if mode is RunningMode.GatePreTrain:
            for p in self.parameters():
                p.requires_grad = False
        self.gate.set_running_mode(mode)

    def begin(self, x):
        """Fixed: the reference is set on purpose, and detached."""
        self.previous_x = x.detach()

    def forward(self, x, mask_mode):
        return self.conv(self.gate(x, self.previous_x, mask_mode))


def trained(net):
    return [p for p in net.parameters() if p.requires_grad]


def clip():
    first = torch.randn(2, 3, 128, 128)
    second = first + 0.01 * torch.randn_like(first)
    second[:, :, 40:60, 40:60] = torch.randn(2, 3, 20, 20)
    return first, second


def test_insert_a_gate_before_a_convolution():
    net = YourMaskedConv()
    x, _ = clip()
    # The very first frame has no reference.
    assert torch.equal(net(x, MaskMode.Positive), net.conv(x))


def test_pre_train_the_gate():
    torch.manual_seed(0)
    net = YourMaskedConv().train()
    net.set_running_mode(RunningMode.GatePreTrain)
    weight = net.conv.weight.clone()
    triplet = nn.TripletMarginLoss(margin=200, swap=False, reduction='mean')
    optimizer = torch.optim.Adam(trained(net), 1e-3)
    # Fixed: an optimizer step, two frames, maps flattened for the distance.
    first, second = clip()
    net.begin(first)
    before = [p.clone() for p in net.gate.parameters()]
    for _ in range(2):
        loss = triplet(*(net(second, mode).flatten(1) for mode in MaskMode))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.isfinite()
    assert torch.equal(net.conv.weight, weight)
    after = net.gate.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after))


def test_fine_tune_then_test():
    torch.manual_seed(0)
    net = YourMaskedConv().train()
    net.set_running_mode(RunningMode.GatePreTrain)
    net.set_running_mode(RunningMode.FineTuning)
    optimizer = torch.optim.SGD(trained(net), 0.1)
    first, second = clip()
    net.begin(first)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net(second, MaskMode.Positive).square().mean().backward()
    optimizer.step()
    moved = {k for k, v in net.state_dict().items() if not v.equal(before[k])}
    assert moved == {'conv.weight', 'conv.bias'}
    net.eval()
    net.set_running_mode(RunningMode.Test)
    with torch.no_grad():
        out = net(second, MaskMode.Positive)
        assert torch.equal(out, net(second, MaskMode.Positive))


def test_the_number_of_patches_is_checked():
    gate = MaskGate(4, 1024, 3, 8, RunningMode.Test)
    x = torch.randn(1, 3, 128, 128)
    assert gate(x, x, MaskMode.Positive).shape == x.shape
    assert gate(x, None, MaskMode.Negative) is x
    small = torch.randn(1, 3, 64, 64)
    with pytest.raises(ValueError, match=r'1024.*64x64 has 256'):
        gate(small, small, MaskMode.Positive)
    with pytest.raises(ValueError, match='previous_x must have the shape'):
        gate(x, small, MaskMode.Positive)
