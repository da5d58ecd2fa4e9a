# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Soft masks against the values of the authors' code."""

import copy
import io

import pytest
import torch
from torch import nn

from mask_plugins.compat.continuous_sparsification import (
    MaskedNet,
    SoftMaskedConv2d,
)
from mask_plugins.core.weights import SoftMaskConv2d, mask_report
from mask_plugins.models.backbones import CIFARResNet

from . import cs_checks as checks
from .cases import cases


@pytest.mark.parametrize('case', checks.masks(), ids=lambda c: f's0_{c["s0"]}')
def test_mask(case):
    checks.check_mask(case)


@pytest.mark.parametrize(
    'case', checks.penalties(), ids=lambda c: '{s0}-{temp}'.format(**c)
)
def test_penalty(case):
    checks.check_penalty(case)


@pytest.mark.parametrize(
    'case', checks.prunings(), ids=lambda c: '{s0}-{temp}'.format(**c)
)
def test_prune(case):
    checks.check_prune(case)


@pytest.mark.parametrize('case', checks.convolutions(), ids=checks.conv_id)
def test_conv(case):
    checks.check_conv(case)


def test_rewind():
    for case in checks.rewinds():
        checks.check_rewind(case)


def test_sparsity():
    for case in checks.sparsities():
        checks.check_sparsity(case)


# ------------------------------------------------------- bugs of the original
class Net(MaskedNet):
    def __init__(self, s0=0.0):
        super().__init__()
        self.conv = SoftMaskedConv2d(1, 2, 3, mask_initial_value=s0)
        self.bn = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        out = self.bn(self.conv(x, self.temp, self.ticket))
        return self.fc(out.relu().mean((2, 3)))


def deepcopy_before():
    copy.deepcopy(Net())


def deepcopy_after():
    net = Net()
    x = torch.rand(2, 1, 4, 4)
    net(x).sum().backward()
    twin = copy.deepcopy(net)
    torch.testing.assert_close(twin(x), net(x), rtol=0, atol=0)


def ticket_optimizer():
    """As the script builds it, with a filter that is used up at once."""
    net = Net()
    weights = [
        p for n, p in net.named_parameters() if not n.endswith('logits')
    ]
    for _ in range(2):
        optimizer = torch.optim.SGD(weights, lr=0.1)
        assert sum(len(g['params']) for g in optimizer.param_groups) == 5


def cpu_only():
    assert Net()(torch.rand(2, 1, 4, 4)).device.type == 'cpu'


def rewind_without_checkpoint():
    for module in (Net(), Net().conv):
        before = copy.deepcopy(module.state_dict())
        with pytest.raises(RuntimeError, match=r'call checkpoint\(\) first'):
            module.rewind_weights()
        for key, value in module.state_dict().items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, before[key])


def any_input_size():
    backbone = CIFARResNet(conv_cfg=dict(type='mask_plugins.SoftMaskConv2d'))
    for size in (32, 64):
        (feature,) = backbone(torch.rand(2, 3, size, size))
        assert feature.mean((2, 3)).shape == (2, 64)


def kept_weights_are_saved():
    net = Net()
    net.temp = 7.0
    net.checkpoint()
    at_checkpoint = copy.deepcopy(dict(net.named_parameters()))
    with torch.no_grad():
        for p in net.parameters():
            p += 1
    net(torch.rand(4, 1, 4, 4))  # the statistics of the norm move too
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other = Net()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert other.temp == 7.0
    other.rewind_weights()
    for name, parameter in other.named_parameters():
        moved = name.endswith('logits')  # a mask is not rewound
        assert torch.equal(parameter, at_checkpoint[name] + moved), name
    assert not other.bn.running_mean.any()
    assert other.bn.num_batches_tracked == 0


def an_untrained_ticket_is_empty():
    """That is the method; what matters is that it is said."""
    for s0, empty in ((-0.1, True), (0.0, True), (0.1, False)):
        layer = SoftMaskConv2d(1, 2, 3, mask_init=s0)
        assert bool(mask_report(layer).empty) is empty


def few_state_keys():
    """No ``init_weight`` next to each layer: a mask adds three keys."""
    dense = CIFARResNet().state_dict()
    masked = CIFARResNet(
        conv_cfg=dict(type='mask_plugins.SoftMaskConv2d')
    ).state_dict()
    assert set(dense) <= set(masked)
    added = {key.rpartition('.')[2] for key in set(masked) - set(dense)}
    assert added == {'logits', 'setting_bits', 'ticket_flag'}


BUGS = {
    'deepcopy_before_forward': deepcopy_before,
    'deepcopy_after_forward': deepcopy_after,
    'final_ticket_optimizer': ticket_optimizer,
    'set_device_cpu_only': cpu_only,
    'rewind_without_checkpoint': rewind_without_checkpoint,
    'layer_rewind_without_checkpoint_weight': rewind_without_checkpoint,
    'input64': any_input_size,
    'bn_checkpoint_in_state_dict': kept_weights_are_saved,
    'n_state_keys': few_state_keys,
    'prune_all_removed_when_s0_le_0': an_untrained_ticket_is_empty,
}


def recorded_bugs():
    for case in cases(checks.FILE, 'verified_bugs'):
        yield from case


@pytest.mark.parametrize('name', recorded_bugs())
def test_verified_bug(name):
    """What ours does in its place."""
    assert name in BUGS, f'verified_bugs has one unknown here: {name}'
    BUGS[name]()
