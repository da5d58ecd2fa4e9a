# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How golden values of soft masks are compared, and how they could be wrong.

Whole runs and their schedules are in ``test_cs_training``.
"""

import math

import torch
from torch import nn

from mask_plugins.compat.continuous_sparsification import SoftMaskedConv2d
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

from .cases import of
from .perturb import bump, changed

FILE = 'continuous_sparsification_hgsl'
masks = of(FILE, 'compute_mask')
penalties = of(FILE, 'penalty')
prunings = of(FILE, 'prune')
convolutions = of(FILE, 'conv_fwd_bwd')
rewinds = of(FILE, 'rewind')
sparsities = of(FILE, 'sparsity_measure')
LOGITS = (-0.5, -0.1, -0.01, 0.0, 0.01, 0.1, 0.5)


def det(shape, a=0.7, b=0.3, s=0.5):
    """The inputs of the golden file."""
    index = torch.arange(math.prod(shape), dtype=torch.float64)
    return (s * torch.sin(a * index + b)).view(shape)


def double(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def close(found, expected, tolerance=1e-9):
    """Relative in float64; below 1e-30 of the scale nothing is compared."""
    torch.testing.assert_close(
        torch.as_tensor(found, dtype=torch.float64).flatten(),
        torch.as_tensor(expected, dtype=torch.float64).flatten(),
        rtol=tolerance,
        atol=1e-30,
    )


def ticket_tolerance(case):
    """The original rounds the constant of a ticket to float32."""
    return 1e-9 if case['s0'] == 0 else 1e-6


def masked_ones(logits, s0, temperature=1.0):
    """A linear layer of ones whose mask has these logits."""
    layer = nn.Linear(len(logits), 1, bias=False, dtype=torch.float64)
    nn.init.ones_(layer.weight)
    apply_weight_masks(
        layer,
        [('weight', 'mask')],
        lambda weight: SoftMask(weight, init=s0),
    )
    with torch.no_grad():
        layer.weight_mask.logits.copy_(torch.as_tensor(logits)[None])
    layer.weight_mask.temperature = temperature
    return layer


# --------------------------------------------------------------------- masks
def check_mask(case):
    logits, s0 = double(case['s']), case['s0']
    scale = soft_scale(s0)
    close(scale, case['scaling'])
    for temperature, expected in case['soft'].items():
        temperature = float(temperature)
        close(soft_mask(logits, temperature, scale), expected)
        # as the weights of a layer see it
        layer = masked_ones(logits, s0, temperature)
        close(layer(torch.eye(len(logits)).double()).detach(), expected)
    found = ticket_mask(logits, scale)
    close(found, case['ticket'], ticket_tolerance(case))
    layer = masked_ones(logits, s0)
    layer.weight_mask.ticket = True
    close(layer(torch.eye(len(logits)).double()).detach(), found)


def check_penalty(case):
    """Computed for itself, and on the way of a forward pass."""
    for collected in (False, True):
        layer = masked_ones(double(LOGITS), case['s0'], case['temp'])
        mask = layer.weight_mask
        total = mask.sum()
        if collected:
            with collect_sums(layer) as sums:
                layer(torch.zeros(1, len(LOGITS)).double())
            (total,) = sums
        penalty = case['lmbda'] * total
        close(penalty.detach(), case['penalty'])
        penalty.backward()
        close(mask.logits.grad, case['grad_s'])


def check_prune(case):
    s0, temperature = case['s0'], case['temp']
    logits = prune_logits(double(case['s_in']), temperature, s0)
    close(logits, case['s_out'])
    layer = masked_ones(double(case['s_in']), s0, temperature)
    mask = layer.weight_mask
    parameter = mask.logits
    mask.prune()
    assert mask.logits is parameter  # the optimizer's state stays valid
    close(parameter.detach(), case['s_out'])
    close(
        soft_mask(logits, 1.0, soft_scale(s0)),
        case['soft_mask_next_round_temp1'],
    )


# ---------------------------------------------------------------- the layer
def conv_id(case):
    kind = 'ticket' if case['ticket'] else f'temperature{case["temp"]}'
    return f'{kind}-s0_{case["s0"]}-stride{case["stride"]}'


def check_conv(case):
    """The registered layer, and that of the authors' interface."""
    size = case['kernel']
    options = dict(stride=case['stride'], padding=case['padding'])
    options.update(dtype=torch.float64, bias=False)
    ours = SoftMaskConv2d(2, 3, size, mask_init=case['s0'], **options)
    theirs = SoftMaskedConv2d(
        2, 3, size, mask_initial_value=case['s0'], **options
    )
    ours.weight_mask.temperature = case['temp']
    ours.weight_mask.ticket = case['ticket']
    for layer, arguments in (
        (ours, ()),
        (theirs, (case['temp'], case['ticket'])),
    ):
        with torch.no_grad():
            layer.weight.copy_(det((3, 2, size, size)))
            layer.weight_mask.logits.copy_(
                det((3, 2, size, size), 1.3, 0.1, 0.2)
            )
        check_one_conv(case, layer, arguments)


def check_one_conv(case, layer, arguments):
    tolerance = ticket_tolerance(case) if case['ticket'] else 1e-9
    x = det((2, 2, 5, 5), 0.37, 0.2, 1).requires_grad_()
    y = layer(x, *arguments)
    assert list(y.shape) == case['y_shape']
    y.backward(det(y.shape, 0.91, 0.4, 1))
    absolute = dict(rtol=tolerance, atol=tolerance * 1e-2)
    for found, expected in (
        (y.detach(), case['y']),
        (y.detach().sum(), case['y_sum']),
        (layer.weight.grad, case['grad_w']),
        (x.grad.sum(), case['grad_x_sum']),
        (x.grad.abs().sum(), case['grad_x_abs_sum']),
    ):
        torch.testing.assert_close(
            found.flatten(), double(expected).flatten(), **absolute
        )
    found = layer.weight_mask.logits.grad
    if case['grad_s'] is None:
        assert found is None
    else:
        torch.testing.assert_close(
            found.flatten(), double(case['grad_s']).flatten(), **absolute
        )


def check_rewind(case):
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
    close(layer.weight.detach(), case['w_after_rewind'])
    assert torch.equal(layer.mask_weight, kept) is case['mask_unchanged']


# ----------------------------------------------------------------- sparsity
def check_sparsity(case):
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


# --------------------------------------------------------------- can they fail
def bump_soft(case):
    case['soft']['20'][2] *= 1 + 1e-7


def bump_ticket(case):
    case['ticket'][3] += 1  # a logit of 0 is off


def bump_gradient(case):
    case['grad_s'][0] *= 1 + 1e-7


PERTURBATIONS = {
    'scale': (check_mask, masks, bump('scaling')),
    'soft mask': (check_mask, masks, changed(bump_soft)),
    'ticket': (check_mask, masks, changed(bump_ticket)),
    'penalty': (check_penalty, penalties, bump('penalty')),
    'penalty gradient': (check_penalty, penalties, changed(bump_gradient)),
    'pruned logits': (check_prune, prunings, bump('s_out')),
    'mask of next round': (
        check_prune,
        prunings,
        bump('soft_mask_next_round_temp1'),
    ),
    'convolution': (check_conv, convolutions, bump('y')),
    'weight gradient': (check_conv, convolutions, bump('grad_w')),
    'logit gradient': (check_conv, convolutions, changed(bump_gradient)),
    'rewind': (check_rewind, rewinds, bump('w_after_rewind')),
    'hard sparsity': (
        check_sparsity,
        sparsities,
        bump('example', 'remaining_hard'),
    ),
    'soft sparsity': (
        check_sparsity,
        sparsities,
        bump('example', 'remaining_soft_float32'),
    ),
}
