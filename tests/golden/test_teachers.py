# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Averages and schedules of teachers against values of the authors' code."""

import torch
from mmengine.optim import MultiStepLR, OptimWrapper
from torch import nn
from torch.optim import SGD

from mask_plugins.engine.optimizers.no_weight_decay import (
    free_from_weight_decay,
)
from mask_plugins.models.teachers import EMATeacher, SnapshotTeacher

from .golden import Case, bump, changed, close
from .test_masked_feature import golden, masked_head


class Source(nn.Module):
    """What the averages of the file are of."""

    def __init__(self, case):
        super().__init__()
        self.fc = nn.Linear(2, 1)
        self.bn = nn.BatchNorm1d(1)
        self.case = case
        self.at(0)

    def at(self, t):
        base, delta = (torch.tensor(self.case[k]) for k in ('base', 'delta'))
        with torch.no_grad():
            self.fc.weight.copy_(base + t * delta)
            self.bn.running_mean.fill_(t)
        return self


OPTIONS = {
    'ema_m0.2': dict(momentum=0.2),
    'ema_m0.05': dict(momentum=0.05),
    'ema_default': dict(),
    'ema_m0.2_interval2': dict(momentum=0.2, interval=2),
    'anne_m0.2_gamma100': dict(mode='anne', momentum=0.2, gamma=100),
    'anne_m0.2_gamma2': dict(mode='anne', momentum=0.2, gamma=2),
    'anne_default': dict(mode='anne'),
    'sto': dict(mode='sto'),
    'sto_interval2': dict(mode='sto', interval=2),
}


def averages(key, found):
    common = {key: found[key] for key in ('base', 'delta')}
    for name in OPTIONS:
        yield Case(found[name], name=name, **common)


@golden(
    'ema',
    '{name}',
    averages,
    average=changed(lambda c: c['weight_after_each_update'][3][0].reverse()),
)
def test_ema(case):
    source = Source(case)
    teacher = EMATeacher(**OPTIONS[case['name']])
    teacher.attach(source)
    own = teacher.network
    expected = case['weight_after_each_update']
    means = case['bn_running_mean_copied']
    close(own.fc.weight, expected[0], 1e-6)
    for t in range(1, len(expected)):
        teacher.update(source.at(t))
        close(own.fc.weight, expected[t], 1e-6)
        assert float(own.bn.running_mean) == means[t]
    assert int(teacher.steps) == case['steps']
    found = [p.requires_grad for p in teacher.parameters()]
    assert found == case['requires_grad']


# How the original's schedules are written here.
SCHEDULES = dict(
    kd_start25_every5_max50=dict(begin=30, interval=5),
    mask_start25_every1_max50=dict(begin=26, interval=1),
    kd_start1_every5_max50=dict(begin=5, interval=5),
)


def schedules(key, found):
    return [Case(name=name, epochs=found[name]) for name in SCHEDULES]


@golden('schedule', '{name}', schedules, schedule=bump('epochs'))
def test_schedule(case):
    teacher = SnapshotTeacher(**SCHEDULES[case['name']])
    found = []
    for epoch in range(50):
        if teacher.due(epoch):
            found.append(epoch)
            teacher._start()
    assert found == case['epochs']


@golden('schedule')
def test_lr(case):
    """The rate is the intended one, for the tokens too; no jump back."""
    model = masked_head()
    optimizer = SGD(model.parameters(), lr=0.1, weight_decay=1e-4)
    wrapper = OptimWrapper(optimizer)
    scheduler = MultiStepLR(wrapper, milestones=[25, 35], gamma=0.1)
    freed = free_from_weight_decay(model, wrapper, [scheduler])
    assert freed == ['mask_token']
    for expected in case['lr_intended']:
        rates = [group['lr'] for group in optimizer.param_groups]
        close(rates, [expected] * 2)
        optimizer.step()
        scheduler.step()
    assert case['lr_reference_kd'] != case['lr_intended']
