# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Whole runs of Continuous Sparsification against the authors' code."""

import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.nn import functional as F

from mask_plugins.core.weights import SoftMaskConv2d
from mask_plugins.core.weights.sparsification_plan import SparsificationPlan
from mask_plugins.engine.optimizers import StagewiseMultiStepLR
from mask_plugins.models.backbones import CIFARResNet

from .golden import close, keyed, named, wave
from .test_continuous_sparsification import det, golden


# ---------------------------------------------------------------- schedules
@golden('temp_schedule', '{name}', named)
def test_temperature_schedule(case):
    epochs, final = case['name'][1:].split('_T')
    plan = SparsificationPlan(1, int(epochs), 0, float(final))
    temps = case['value']['temps']
    found = [plan.temperature(e, int(epochs)) for e in range(len(temps))]
    assert found == pytest.approx(temps, rel=1e-12)


@golden('lr_schedule')
def test_lr_schedule(case):
    weight = nn.Parameter(torch.zeros(1))
    wrapper = OptimWrapper(torch.optim.SGD([weight], lr=0.1))
    scheduler = StagewiseMultiStepLR(
        wrapper, stage_epochs=85, milestones=[56, 71], gamma=0.1
    )
    rates = []
    for _ in range(340):
        rates.append(wrapper.get_lr()['lr'][0])
        scheduler.step()
    for stage in range(4):  # it starts again in each
        for epoch, rate in case.items():
            found = rates[85 * stage + int(epoch)]
            assert found == pytest.approx(rate, rel=1e-12)


@golden('resnet')
def test_resnet20_counts(case):
    conv_cfg = dict(type='mask_plugins.SoftMaskConv2d')
    model, head = CIFARResNet(conv_cfg=conv_cfg), nn.Linear(64, 10)
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    masked = [m for m in convs if isinstance(m, SoftMaskConv2d)]
    assert len(masked) == case['mask_modules']
    assert case['shapes'] == [
        [*m.weight.shape, f'stride{m.stride[0]}', f'pad{m.padding[0]}']
        for m in masked
    ]
    sizes = sum(m.weight.numel() for m in masked)
    assert sizes == case['maskable_weights']
    plain = sum(m.weight.numel() for m in convs) - sizes
    assert plain == case['unmasked_conv_weights']
    linear = sum(p.numel() for p in head.parameters())
    assert linear == case['linear']
    total = linear + sum(p.numel() for p in model.parameters())
    assert total == case['trainable_total_incl_masks']


# ---------------------------------------------------------------- whole runs
def samples(labels):
    """Eight: two batches of four."""
    batches = [wave((4, 2, 5, 5), 0.37, 0.2 + j) for j in range(2)]
    return [
        dict(x=x, y=y)
        for batch, known in zip(batches, labels)
        for x, y in zip(batch, known)
    ]


class TinyNet(BaseModel):
    """conv bn relu gap fc, in float64."""

    def __init__(self, s0):
        super().__init__()
        double = dict(dtype=torch.float64)
        options = dict(padding=1, bias=False, mask_init=s0, **double)
        self.conv = SoftMaskConv2d(2, 3, 3, **options)
        self.bn = nn.BatchNorm2d(3, **double)
        self.fc = nn.Linear(3, 2, **double)
        with torch.no_grad():
            self.conv.weight.copy_(det((3, 2, 3, 3)))
            self.fc.weight.copy_(det((2, 3), 0.5, 0.2, 0.8))
            self.fc.bias.zero_()

    def forward(self, x, y=None, mode='tensor', **kwargs):
        out = F.relu(self.bn(self.conv(x))).mean((2, 3))
        logits = self.fc(out)
        if mode == 'loss':
            return dict(loss_ce=F.cross_entropy(logits, y))
        return logits


class Recorder(Hook):
    """Losses, temperatures, and the state around each epoch."""

    priority = 'LOWEST'

    def __init__(self):
        self.losses, self.temps, self.before, self.after = [], [], [], []

    def before_train_epoch(self, runner):
        self.before.append(copy.deepcopy(runner.model.state_dict()))

    def after_train_iter(self, runner, batch_idx, outputs=None, **kwargs):
        self.losses.append(float(outputs['loss']))
        if batch_idx == 0:
            self.temps.append(float(runner.model.conv.weight_mask.temperature))

    def after_train_epoch(self, runner):
        self.after.append(copy.deepcopy(runner.model.state_dict()))


def run(cfg, prune_temperature, work_dir):
    """Train as the case says; what was recorded, and the model."""
    found, length = Recorder(), cfg['epochs']
    searched = cfg['rounds'] * length
    runner = Runner(
        model=TinyNet(cfg['s0']),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=4,
            num_workers=0,
            dataset=samples(cfg['y']),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=searched + length),
        optim_wrapper=dict(
            optimizer=dict(
                {k: cfg[k] for k in ('lr', 'momentum', 'nesterov')},
                type='SGD',
                weight_decay=cfg['wd'],
            ),
            constructor='mask_plugins.MaskOptimWrapperConstructor',
            paramwise_cfg=dict(masks=dict(weight_decay=0.0)),
        ),
        default_hooks=dict(
            checkpoint=None,
            logger=None,
            sparsification=dict(
                type='mask_plugins.ContinuousSparsificationHook',
                rounds=cfg['rounds'],
                epochs_per_round=length,
                ticket_epochs=length,
                final_temperature=cfg['final_temp'],
                rewind_epoch=cfg['rewind_epoch'],
                penalty=cfg['lmbda'],
                prune_temperature=prune_temperature,
            ),
        ),
        custom_hooks=[found],
        experiment_name=f'golden-{work_dir.name}',
    )
    runner.train()
    logits = 'conv.weight_mask.logits'
    found.ends = [
        s[logits] for s in found.after[length - 1 : searched : length]
    ]
    found.starts = [s[logits] for s in found.before[length:searched:length]]
    found.weights = found.after[searched - 1]['conv.weight']
    found.rewound = found.before[searched]
    return found, runner.model


@golden('tiny_run_*', '{key}', keyed)
def test_tiny_run(case, tmp_path):
    shipped = 'shipped' in case['key']
    found, model = run(case['cfg'], 1.0 if shipped else 'end', tmp_path)
    check_tiny_run(case, found, model)


def check_tiny_run(case, found, model):
    # The original rounds the constant of a ticket to float32.
    hard = 1e-8 if case['cfg']['s0'] == 0 else 1e-6
    searched = len(case['losses'])
    close(found.losses[:searched], case['losses'], 1e-8)
    rounds = case['cfg']['rounds'] * case['cfg']['epochs']
    close(found.temps[:rounds], case['temps'][:rounds], 1e-12)
    for name, recorded in (
        ('s_end_round', found.ends),
        ('s_after_prune', found.starts),
    ):
        for ours, theirs in zip(recorded, case[name]):
            close(ours, theirs, 1e-8)
    close(found.weights, case['w_before_rewind'], 1e-8)
    for name, key in (
        ('conv.weight', 'w_rewound'),
        ('bn.weight', 'bn_weight_rewound'),
        ('bn.running_mean', 'bn_running_mean_rewound'),
    ):
        close(found.rewound[name], case[key], 1e-8)
    mask = model.conv.weight_mask
    remaining = float(mask.hard().double().mean())
    assert remaining == pytest.approx(case['ticket_remaining'])
    # The original still adds the penalty, by then a constant.
    constant = case['cfg']['lmbda'] * mask.scale * int(mask.hard().sum())
    found_losses = [loss + constant for loss in found.losses[searched:]]
    close(found_losses, case['ticket_losses'], hard)
    model.eval()
    logits = model(wave((4, 2, 5, 5), 0.37, 0.2))
    close(logits, case['ticket_eval_logits'], 10 * hard)
