# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Soft masks against the values of the authors' code."""

import copy

import pytest
import torch
from torch import nn

from mask_plugins.compat.continuous_sparsification import (
    MaskedNet,
    SoftMaskedConv2d,
)
from mask_plugins.core.weights import (
    SoftMask,
    SoftMaskConv2d,
    apply_weight_masks,
    collect_sums,
    mask_report,
    prune_logits,
    soft_mask,
    soft_scale,
    ticket_mask,
)
from mask_plugins.models.backbones import CIFARResNet

from .golden import Golden, bump, named, tensor, wave
from .golden import close as compare

golden = Golden('continuous_sparsification_hgsl')
LOGITS = (-0.5, -0.1, -0.01, 0.0, 0.01, 0.1, 0.5)


def det(shape, a=0.7, b=0.3, s=0.5):
    return wave(shape, a, b, s)


def close(found, expected, tolerance=1e-9, absolute=1e-30):
    """Relative; below 1e-30 of the scale nothing is compared."""
    compare(found, expected, tolerance, absolute)


def ticket_tolerance(case):
    """The original rounds the constant of a ticket to float32."""
    return 1e-9 if case['s0'] == 0 else 1e-6


def masked_ones(logits, s0, temperature=1.0):
    """A linear layer of ones whose mask has these logits."""
    layer = nn.Linear(len(logits), 1, bias=False, dtype=torch.float64)
    nn.init.ones_(layer.weight)
    apply_weight_masks(
        layer, [('weight', 'mask')], lambda weight: SoftMask(weight, init=s0)
    )
    with torch.no_grad():
        layer.weight_mask.logits.copy_(torch.as_tensor(logits)[None])
    layer.weight_mask.temperature = temperature
    return layer


# --------------------------------------------------------------------- masks
@golden(
    'compute_mask',
    's0_{s0}',
    scale=bump('scaling'),
    soft=bump('soft', '20', 2, by=0, factor=1 + 1e-7),
    ticket=bump('ticket', 3),  # a logit of 0 is off
)
def test_mask(case):
    logits, s0 = tensor(case['s']), case['s0']
    scale, eye = soft_scale(s0), torch.eye(len(logits)).double()
    close(scale, case['scaling'])
    for temperature, expected in case['soft'].items():
        temperature = float(temperature)
        close(soft_mask(logits, temperature, scale), expected)
        # as the weights of a layer see it
        close(masked_ones(logits, s0, temperature)(eye), expected)
    found = ticket_mask(logits, scale)
    close(found, case['ticket'], ticket_tolerance(case))
    layer = masked_ones(logits, s0)
    layer.weight_mask.ticket = True
    close(layer(eye), found)


@golden(
    'penalty',
    '{s0}-{temp}',
    penalty=bump('penalty'),
    penalty_gradient=bump('grad_s', by=0, factor=1 + 1e-7),
)
def test_penalty(case):
    """Computed for itself, and on the way of a forward pass."""
    for collected in (False, True):
        layer = masked_ones(tensor(LOGITS), case['s0'], case['temp'])
        mask = layer.weight_mask
        total = mask.sum()
        if collected:
            with collect_sums(layer) as sums:
                layer(torch.zeros(1, len(LOGITS)).double())
            (total,) = sums
        penalty = case['lmbda'] * total
        close(penalty, case['penalty'])
        penalty.backward()
        close(mask.logits.grad, case['grad_s'])


@golden(
    'prune',
    '{s0}-{temp}',
    pruned=bump('s_out'),
    next_round=bump('soft_mask_next_round_temp1'),
)
def test_prune(case):
    s0, temperature = case['s0'], case['temp']
    logits = prune_logits(tensor(case['s_in']), temperature, s0)
    close(logits, case['s_out'])
    mask = masked_ones(tensor(case['s_in']), s0, temperature).weight_mask
    parameter = mask.logits
    mask.prune()
    assert mask.logits is parameter  # the optimizer's state stays valid
    close(parameter, case['s_out'])
    soft = soft_mask(logits, 1.0, soft_scale(s0))
    close(soft, case['soft_mask_next_round_temp1'])


# ---------------------------------------------------------------- the layer
def conv_id(case):
    kind = 'ticket' if case['ticket'] else f'temperature{case["temp"]}'
    return f'{kind}-s0_{case["s0"]}-stride{case["stride"]}'


@golden(
    'conv_fwd_bwd',
    conv_id,
    convolution=bump('y'),
    weight_gradient=bump('grad_w'),
    logit_gradient=bump('grad_s', by=0, factor=1 + 1e-7),
)
def test_conv(case):
    """The registered layer, and that of the authors' interface."""
    options = dict(stride=case['stride'], padding=case['padding'])
    options.update(dtype=torch.float64, bias=False)
    shape = (2, 3, case['kernel'])
    ours = SoftMaskConv2d(*shape, mask_init=case['s0'], **options)
    theirs = SoftMaskedConv2d(*shape, mask_initial_value=case['s0'], **options)
    ours.weight_mask.temperature = case['temp']
    ours.weight_mask.ticket = case['ticket']
    tolerance = ticket_tolerance(case) if case['ticket'] else 1e-9
    for layer, arguments in (
        (ours, ()),
        (theirs, (case['temp'], case['ticket'])),
    ):
        logits = layer.weight_mask.logits
        with torch.no_grad():
            layer.weight.copy_(det(layer.weight.shape))
            logits.copy_(det(logits.shape, 1.3, 0.1, 0.2))
        x = wave((2, 2, 5, 5), 0.37, 0.2).requires_grad_()
        y = layer(x, *arguments)
        assert list(y.shape) == case['y_shape']
        y.backward(wave(y.shape, 0.91, 0.4))
        assert (logits.grad is None) == (case['grad_s'] is None)
        for found, expected in (
            (y, case['y']),
            (y.sum(), case['y_sum']),
            (layer.weight.grad, case['grad_w']),
            (x.grad.sum(), case['grad_x_sum']),
            (x.grad.abs().sum(), case['grad_x_abs_sum']),
            (logits.grad, case['grad_s']),
        ):
            if found is not None:
                close(found, expected, tolerance, tolerance * 1e-2)


@golden('rewind', rewind=bump('w_after_rewind'))
def test_rewind(case):
    count = len(case['w_at_checkpoint'])
    layer = SoftMaskedConv2d(1, count, 1, padding=0, dtype=torch.float64)
    kept = layer.mask_weight.detach().clone()
    with torch.no_grad():
        layer.weight.copy_(det(layer.weight.shape))
        close(layer.weight, case['w_at_checkpoint'])
        layer.checkpoint()
        layer.weight += 5
        close(layer.weight, case['w_after_training'])
        layer.checkpoint()  # a second one changes nothing
    layer.rewind_weights()
    close(layer.weight, case['w_after_rewind'])
    assert torch.equal(layer.mask_weight, kept) is case['mask_unchanged']


# ----------------------------------------------------------------- sparsity
@golden(
    'sparsity_measure',
    hard_sparsity=bump('example', 'remaining_hard'),
    soft_sparsity=bump('example', 'remaining_soft_float32'),
)
def test_sparsity(case):
    """The original counts what float32 rounds to 0; ours, the ticket."""
    example = case['example']
    for dtype, key in (
        (torch.float32, 'remaining_soft_float32'),
        (torch.float64, 'remaining_soft_float64'),
    ):
        logits = torch.tensor(example['s'], dtype=dtype)
        soft = soft_mask(logits, float(example['temp']))
        close((soft != 0).double().mean(), example[key])
        layer = masked_ones(logits, 0.0, example['temp']).to(dtype)
        report = mask_report(layer)
        close(report.density, example['remaining_hard'])
    grid = torch.linspace(-1, 1, 20001)
    for key, expected in case.items():
        if key.startswith('float32_temp'):
            check_underflow(grid, key, expected)
    report = mask_report(masked_ones(grid, 0.0).float())
    close(report.density, case['hard_remaining_uniform(-1,1)'], 1e-7)


def check_underflow(grid, key, expected):
    temperature, _, what = key[len('float32_temp') :].partition('_')
    soft = soft_mask(grid, float(temperature))
    if what.startswith('remaining'):
        close((soft != 0).double().mean(), expected, 1e-7)
    elif expected is None:
        assert (soft != 0).all()
    else:
        close(grid[soft == 0].max(), expected, 1e-7)


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


def deepcopies():
    x = torch.rand(2, 1, 4, 4)
    for steps in range(2):
        net = Net()
        for _ in range(steps):
            net(x).sum().backward()
        twin = copy.deepcopy(net)
        torch.testing.assert_close(twin(x), net(x), rtol=0, atol=0)


def ticket_optimizer():
    """As the script builds it, with a filter that is used up at once."""
    named = Net().named_parameters()
    weights = [p for n, p in named if not n.endswith('logits')]
    for _ in range(2):
        optimizer = torch.optim.SGD(weights, lr=0.1)
        assert sum(len(g['params']) for g in optimizer.param_groups) == 5


def cpu_only():
    assert Net()(torch.rand(2, 1, 4, 4)).device.type == 'cpu'


def rewind_without_checkpoint():
    for module in (Net(), Net().conv):
        before = copy.deepcopy(dict(module.named_parameters()))
        with pytest.raises(RuntimeError, match=r'call checkpoint\(\) first'):
            module.rewind_weights()
        for name, parameter in module.named_parameters():
            assert parameter.equal(before[name])


def any_input_size():
    backbone = CIFARResNet(conv_cfg=dict(type='mask_plugins.SoftMaskConv2d'))
    for size in (32, 64):
        (feature,) = backbone(torch.rand(2, 3, size, size))
        assert feature.mean((2, 3)).shape == (2, 64)


def kept_statistics_are_saved():
    net = Net()
    net.checkpoint()
    net(torch.rand(4, 1, 4, 4))  # the statistics of the norm move
    other = Net()
    other.load_state_dict(net.state_dict())
    assert other.bn.running_mean.any()
    other.rewind_weights()
    assert not other.bn.running_mean.any()
    assert other.bn.num_batches_tracked == 0


def an_untrained_ticket_is_empty():
    """That is the method; what matters is that it is said."""
    for s0, empty in ((-0.1, True), (0.0, True), (0.1, False)):
        layer = SoftMaskConv2d(1, 2, 3, mask_init=s0)
        assert bool(mask_report(layer).empty) is empty


def few_state_keys():
    """No ``init_weight`` next to each layer: a mask adds three keys."""
    options = dict(conv_cfg=dict(type='mask_plugins.SoftMaskConv2d'))
    dense, masked = (set(CIFARResNet(**o).state_dict()) for o in ({}, options))
    assert dense <= masked
    added = {key.rpartition('.')[2] for key in masked - dense}
    assert added == {'logits', 'setting_bits', 'ticket_flag'}


BUGS = {
    'deepcopy_before_forward': deepcopies,
    'deepcopy_after_forward': deepcopies,
    'final_ticket_optimizer': ticket_optimizer,
    'set_device_cpu_only': cpu_only,
    'rewind_without_checkpoint': rewind_without_checkpoint,
    'layer_rewind_without_checkpoint_weight': rewind_without_checkpoint,
    'input64': any_input_size,
    'bn_checkpoint_in_state_dict': kept_statistics_are_saved,
    'n_state_keys': few_state_keys,
    'prune_all_removed_when_s0_le_0': an_untrained_ticket_is_empty,
}


@golden('verified_bugs', '{name}', named)
def test_verified_bug(case):
    """What ours does in its place."""
    assert case['name'] in BUGS, 'verified_bugs has one unknown here'
    BUGS[case['name']]()
