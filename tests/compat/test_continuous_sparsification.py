# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The authors' interface of Continuous Sparsification."""

import copy
import inspect
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F

from mask_plugins.compat.continuous_sparsification import (
    MaskedNet,
    SoftMaskedConv2d,
)

from ..golden.golden import keyed
from ..golden.test_cs_training import check_tiny_run, det, golden


class Net(MaskedNet):
    """Written as networks for the authors' code are."""

    def __init__(self, mask_initial_value=0.0):
        super().__init__()
        self.conv = SoftMaskedConv2d(
            2, 3, 3, padding=1, mask_initial_value=mask_initial_value
        )
        self.bn = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 2)
        self.mask_modules = [
            m
            for m in self.modules()
            if type(m) == SoftMaskedConv2d  # noqa: E721
        ]
        self.temp = 1

    def forward(self, x):
        out = F.relu(self.bn(self.conv(x, self.temp, self.ticket)))
        return self.fc(out.mean((2, 3)))


def golden_net(s0):
    net = Net(s0).double()
    with torch.no_grad():
        net.conv.weight.copy_(det((3, 2, 3, 3)))
        net.fc.weight.copy_(det((2, 3), 0.5, 0.2, 0.8))
        net.fc.bias.zero_()
    return net


def optimizers(net, cfg):
    """Parameters are told apart by their names, as the script does."""
    named = [(n, p) for n, p in net.named_parameters() if p.requires_grad]
    options = dict(
        lr=cfg['lr'], momentum=cfg['momentum'], nesterov=cfg['nesterov']
    )
    weights = [p for n, p in named if 'mask' not in n]
    masks = [p for n, p in named if 'mask' in n]
    found = [torch.optim.SGD(weights, weight_decay=cfg['wd'], **options)]
    return found + [torch.optim.SGD(masks, **options)] * bool(masks)


def train_epoch(net, optimizers, cfg):
    """Losses of an epoch; the penalty of a ticket is a constant."""
    net.train()
    losses = []
    for step in range(cfg['steps_per_epoch']):
        x = det((4, 2, 5, 5), 0.37, 0.2 + step, 1)
        loss = F.cross_entropy(net(x), torch.tensor(cfg['y'][step]))
        penalty = cfg['lmbda'] * sum(m.mask.sum() for m in net.mask_modules)
        for optimizer in optimizers:
            optimizer.zero_grad()
        (loss + penalty).backward()
        for optimizer in optimizers:
            optimizer.step()
        total = loss if net.ticket else loss + penalty
        losses.append(total.item())
    return losses


@golden('tiny_run_*', '{key}', keyed)
def test_golden_run(case):
    """Rounds, pruning, rewinding and the ticket, as a script has them."""
    cfg = case['cfg']
    net = golden_net(cfg['s0'])
    found = SimpleNamespace(losses=[], temps=[], ends=[], starts=[])
    both = optimizers(net, cfg)
    assert len(both) == 2
    last = cfg['epochs'] - 1
    for r in range(cfg['rounds']):
        for epoch in range(cfg['epochs']):
            if r == 0 and epoch == cfg['rewind_epoch']:
                net.checkpoint()
            net.temp = cfg['final_temp'] ** (epoch / last)
            found.temps.append(net.temp)
            found.losses += train_epoch(net, both, cfg)
        found.ends.append(net.conv.mask_weight.detach().clone())
        if 'shipped' in case['key']:
            net.temp = 1
        if r < cfg['rounds'] - 1:
            net.prune()
            found.starts.append(net.conv.mask_weight.detach().clone())
    found.weights = net.conv.weight.detach().clone()
    net.ticket = True
    net.rewind_weights()
    found.rewound = copy.deepcopy(net.state_dict())
    (weights, _) = optimizers(net, cfg)
    for _ in range(cfg['epochs']):
        found.losses += train_epoch(net, [weights], cfg)
    check_tiny_run(case, found, net)


# ----------------------------------------------------------------- the layer
def test_signature_of_the_layer():
    names = list(inspect.signature(SoftMaskedConv2d).parameters)
    assert names[:6] == [
        'in_channels', 'out_channels', 'kernel_size', 'padding', 'stride',
        'mask_initial_value',
    ]  # fmt: skip
    layer = SoftMaskedConv2d(4, 6, 3, 2, 2, 0.1)
    assert (layer.padding, layer.stride) == ((2, 2), (2, 2))
    assert layer.mask_initial_value == 0.1
    assert layer.bias is None
    assert (layer.mask_weight == 0.1).all()
    plain = SoftMaskedConv2d(4, 6, 5)
    assert (plain.padding, plain.stride) == ((1, 1), (1, 1))
    x = torch.rand(2, 4, 9, 9)
    dense = F.conv2d(x, plain.weight, padding=1)  # at first it is the same
    torch.testing.assert_close(plain(x), dense)


def test_arguments_of_convolutions():
    layer = SoftMaskedConv2d(
        4, 6, (3, 1), padding='same', groups=2, bias=True, dilation=2
    )
    x = torch.rand(2, 4, 9, 9)
    expected = F.conv2d(x, layer.weight, layer.bias, 1, 'same', 2, 2)
    torch.testing.assert_close(layer(x), expected)
    assert isinstance(layer, nn.Conv2d)


def test_the_mask_is_that_of_the_last_call():
    layer = SoftMaskedConv2d(1, 2, 3, mask_initial_value=-0.1)
    layer.mask_weight.data.normal_()
    layer(torch.rand(1, 1, 4, 4), 7.0)
    expected = layer.compute_mask(7.0, False)
    assert torch.equal(layer.mask, expected)
    assert expected.requires_grad
    other = layer.compute_mask(50.0, True)
    assert torch.equal(layer.mask, expected)  # nothing is stored
    assert torch.equal(other > 0, layer.mask_weight > 0)
    layer.mask.sum().backward()
    assert layer.mask_weight.grad.abs().sum() > 0


def test_a_ticket_freezes_the_logits():
    layer = SoftMaskedConv2d(1, 2, 3, mask_initial_value=0.1)
    x = torch.rand(1, 1, 4, 4)
    layer(x, 1.0, True).sum().backward()
    assert layer.mask_weight.grad is None
    assert layer.weight.grad is not None
    layer(x, 1.0, False).sum().backward()  # the search continues
    assert layer.mask_weight.grad is not None


def test_logits_are_written_in_place():
    layer = SoftMaskedConv2d(1, 2, 3, mask_initial_value=0.2)
    logits = layer.mask_weight
    logits.data.copy_(torch.linspace(-1, 1, 18).view_as(logits))
    expected = (3 * logits.detach()).clamp(max=0.2)
    layer.prune(3.0)
    assert torch.equal(logits, expected)
    layer.init_mask()
    assert layer.mask_weight is logits
    assert (logits == 0.2).all()


# --------------------------------------------------------------- the network
def test_two_forwards_before_a_backward():
    """The temperature of the first is still there."""
    net = Net()
    x = torch.rand(4, 2, 5, 5)
    first = net(x)
    net.temp = 20.0
    (first.sum() + net(x).sum()).backward()
    assert net.conv.mask_weight.grad.isfinite().all()


def test_copies_have_masks_of_their_own():
    net = Net()
    net(torch.rand(4, 2, 5, 5)).sum().backward()
    twin = copy.deepcopy(net)
    assert twin.mask_modules == [twin.conv] != net.mask_modules
    twin.temp = 100.0
    twin.conv.mask_weight.data.fill_(-0.1)
    twin.prune()
    assert (twin.conv.mask_weight == -10).all()
    assert not net.conv.mask_weight.any()


def test_a_ticket_is_in_the_state_dict():
    """What else a restart needs is in tests/golden."""
    net, other = Net(), Net()
    net.ticket = True
    other.load_state_dict(net.state_dict())
    assert other.ticket
