# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The rate of WarmupCosineLR against timm's formula.

Runs with it are resumed in test_methods.py and test_resumed_length.py.
"""

import math

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from mask_plugins.engine.optimizers import WarmupCosineLR

RATES = (1.25e-3, 4.6e-6)


def timm_rate(t, lr, warmup, total, warmup_lr, eta_min):
    """timm 0.4.12, CosineLRScheduler._get_lr with its defaults."""
    if t < warmup:
        return warmup_lr + t * (lr - warmup_lr) / warmup
    if t // total > 0:
        return eta_min
    cosine = math.cos(math.pi * (t - total * (t // total)) / total)
    return eta_min + 0.5 * (lr - eta_min) * (1 + cosine)


def make_optimizer():
    groups = [
        dict(params=[nn.Parameter(torch.zeros(2))], lr=lr) for lr in RATES
    ]
    return torch.optim.SGD(groups, lr=1.0)


def rates_of(scheduler, steps):
    rates = []
    for _ in range(steps):
        rates.append([g['lr'] for g in scheduler.optimizer.param_groups])
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def test_follows_the_formula_in_every_group():
    scheduler = WarmupCosineLR(
        make_optimizer(), warmup=20, T_max=100, warmup_lr=2.5e-7, eta_min=1e-6
    )
    rates = rates_of(scheduler, 110)
    for t, pair in enumerate(rates):
        expected = [timm_rate(t, lr, 20, 100, 2.5e-7, 1e-6) for lr in RATES]
        assert pair == pytest.approx(expected, rel=1e-12)
    # All groups start and end at one rate, whatever their own.
    assert rates[0] == [2.5e-7, 2.5e-7]
    assert rates[100] == rates[109] == [1e-6, 1e-6]
    # The cosine does not restart after the warm-up: no return to the peak.
    assert max(rate[0] for rate in rates) < 0.96 * RATES[0]
    assert rates[20][0] / RATES[0] == pytest.approx(0.905, abs=1e-3)
    # Without a warm-up it starts there.
    scheduler = WarmupCosineLR(make_optimizer(), T_max=10)
    assert rates_of(scheduler, 1) == [list(RATES)]


def test_epochs_are_converted_to_iterations():
    cfg = dict(
        type='mask_plugins.WarmupCosineLR',
        warmup=2,
        warmup_lr=1e-7,
        eta_min=1e-8,
        end=10,
        convert_to_iter_based=True,
    )
    built = PARAM_SCHEDULERS.build(
        cfg, default_args=dict(optimizer=make_optimizer(), epoch_length=7)
    )
    assert not built.by_epoch
    assert (built.warmup, built.T_max, built.end) == (14, 70, 70)
    for t, pair in enumerate(rates_of(built, 70)):
        expected = [timm_rate(t, lr, 14, 70, 1e-7, 1e-8) for lr in RATES]
        assert pair == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(warmup=1, T_max=0), 'T_max .*at least 1, got 0'),
        (dict(warmup=-1, T_max=10), 'warmup .*at least 0, got -1'),
        (dict(T_max=10, eta_min=-1e-6), 'eta_min .*at least 0, got -1e-06'),
        (dict(T_max=10, warmup_lr=-1.0), 'warmup_lr .*at least 0, got -1'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        WarmupCosineLR(make_optimizer(), **kwargs)


def test_a_training_shorter_than_its_warmup(monkeypatch):
    """As in timm it ends on the way up; a warning says so."""
    said = []
    monkeypatch.setattr(
        'mask_plugins.engine.optimizers.warmup_cosine_lr.print_log',
        lambda text, **_: said.append(text),
    )
    kwargs = dict(warmup=10, warmup_lr=0.1, eta_min=0.01)
    whole = WarmupCosineLR(make_optimizer(), T_max=20, **kwargs)
    assert not said
    short = WarmupCosineLR(make_optimizer(), T_max=4, **kwargs)
    assert 'warmup=10 is not shorter than the schedule (T_max=4)' in said[0]
    assert rates_of(short, 4) == rates_of(whole, 4)


def test_conversion_needs_epochs():
    kwargs = dict(warmup=1, T_max=4)
    with pytest.raises(ValueError, match='by_epoch=True'):
        WarmupCosineLR.build_iter_from_epoch(
            make_optimizer(), by_epoch=False, epoch_length=3, **kwargs
        )
    with pytest.raises(TypeError, match='epoch_length'):
        WarmupCosineLR.build_iter_from_epoch(make_optimizer(), **kwargs)


def test_the_cosine_may_begin_after_the_warmup():
    scheduler = WarmupCosineLR(
        make_optimizer(), warmup=4, T_max=10, cosine_after_warmup=True
    )
    rates = [rate / RATES[0] for rate, _ in rates_of(scheduler, 11)]
    cosine = [(1 + math.cos(math.pi * t / 6)) / 2 for t in range(7)]
    assert rates == pytest.approx([0, 0.25, 0.5, 0.75, *cosine], abs=1e-12)
