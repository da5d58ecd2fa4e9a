# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Teachers in real runs: when they learn, and what they leave alone."""

import copy

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, OPTIM_WRAPPERS

from mask_plugins.engine.hooks import TeacherHook
from mask_plugins.registry import HOOKS

from ..common.methods import build, method_config, with_teacher
from ..common.runs import load, log_lines
from .resume_runs import ITERATIONS
from .toys import build_runner

SNAPSHOT = dict(type='SnapshotTeacher', begin=1)
EMA = dict(type='EMATeacher', momentum=0.2)


@HOOKS.register_module(force=True)
class WatchTeacher(Hook):
    """Write down what the teacher and the student are in each iteration."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.active, self.teacher, self.student = [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        model = runner.model
        self.active.append(model.teacher.active)
        own = next(model.teacher.parameters())
        self.teacher.append(own.detach().clone())
        weight = model.student_network().state_dict()[self.first(model)]
        self.student.append(weight.detach().clone())

    @staticmethod
    def first(model):
        return next(k for k, _ in model.student_network().named_parameters())


@OPTIM_WRAPPERS.register_module(force=True)
class SkippingOptimWrapper(OptimWrapper):
    """Skips every second step, as AMP's scaler does on an overflow."""

    calls = 0

    def step(self, **kwargs):
        self.calls += 1
        if self.calls % 2:
            super().step(**kwargs)


def train(work_dir, options, hook='mask_plugins.WatchTeacher'):
    """Four iterations in each of three epochs."""
    hooks = [
        dict(type='EMAHook', momentum=0.1),
        *([dict(type=hook)] * bool(hook)),
    ]
    options = {'optim_wrapper.optimizer.weight_decay': 0.01, **options}
    runner = build(work_dir, 'ce', hooks=hooks, counts=(32, 45), **options)
    runner.train()
    watch = [h for h in runner.hooks if isinstance(h, WatchTeacher)]
    return runner, watch[0] if watch else None


@pytest.mark.parametrize('loop', ['epoch', 'iter'])
def test_it_begins_after_an_epoch_of_any_number_of_batches(tmp_path, loop):
    """With a token budget they are unlike."""
    options = with_teacher(dict(SNAPSHOT, begin=1))
    # After the seeds and the log: PSSHook.
    options['custom_hooks.2.schedule'] = dict(
        type='mask_plugins.LinearSchedule', start=0.8, end=0.0, _delete_=True
    )
    if loop == 'iter':
        options['train_cfg'] = dict(
            _delete_=True, by_epoch=False, max_iters=15, val_interval=100
        )
    hooks = [dict(type='mask_plugins.WatchTeacher')]
    runner = build(tmp_path, 'pss-budget', hooks=hooks, **options)
    runner.train()
    (watch,) = (h for h in runner.hooks if isinstance(h, WatchTeacher))
    epochs = [line['epoch'] for line in log_lines(tmp_path)]
    assert watch.active == [epoch >= 1 for epoch in epochs]
    assert epochs.count(0) != epochs.count(2)


def test_before_the_teacher_it_is_the_baseline(tmp_path):
    """The same bits until it begins, and the same learning rate after."""
    train(tmp_path / 'ce', {}, hook=None)
    masked = dict(mask_mode='a', inv_mode='v1')
    runner, watch = train(tmp_path / 'kd', with_teacher(SNAPSHOT, masked))
    assert watch.active == [False] * 4 + [True] * 8
    ce, kd = log_lines(tmp_path / 'ce'), log_lines(tmp_path / 'kd')
    assert [line['lr'] for line in ce] == [line['lr'] for line in kd]
    first = [line for line in kd if line['epoch'] == 0]
    assert first
    for line, expected in zip(first, ce):
        assert line['loss'] == expected['loss']
        assert line['loss_ce'] == line['loss']
        assert 'loss_msk' not in line
    last = kd[-1]
    assert last['loss'] == pytest.approx(last['loss_ce'] + last['loss_msk'])
    assert last['loss'] != ce[-1]['loss']
    groups = runner.optim_wrapper.optimizer.param_groups
    assert [group['weight_decay'] for group in groups] == [0.01, 0]
    assert groups[1]['params'] == [runner.model.head.mask_token]
    assert runner.model.head.mask_token.abs().sum() > 0
    # Each epoch's teacher is the student at its beginning.
    for epoch in (1, 2):
        for i in range(4):
            found = watch.teacher[4 * epoch + i]
            assert found.equal(watch.student[4 * epoch - 1])
    assert not any(p.requires_grad for p in runner.model.teacher.parameters())
    assert not any(m.training for m in runner.model.teacher.modules())


@pytest.mark.parametrize('kind', ['accumulate', 'skip'])
def test_one_update_per_optimizer_step(tmp_path, kind):
    options = with_teacher(EMA)
    if kind == 'accumulate':
        options['optim_wrapper.accumulative_counts'] = 2
    else:
        options['optim_wrapper.type'] = 'mmengine.SkippingOptimWrapper'
    runner, watch = train(tmp_path, options)
    # One when it begins, and then 6 steps in 12 iterations.
    assert int(runner.model.teacher.steps) == 7
    expected = watch.teacher[1].clone()
    steps = sum(
        not a.equal(b) for a, b in zip(watch.student[1:], watch.student[2:])
    )
    assert steps == 5
    for i in range(2, 12):
        if not watch.student[i].equal(watch.student[i - 1]):
            expected.lerp_(watch.student[i], 0.2)
        assert expected.equal(watch.teacher[i])


def test_iteration_loop(tmp_path):
    """Epochs are counted by the length of the loader."""
    options = with_teacher(dict(EMA, begin=1))
    _, watch = train(tmp_path, {**options, **ITERATIONS})
    assert watch.active == [False] * 4 + [True] * 6


def test_schedules(tmp_path):
    """Momentum and ratio are set as any other scheduled value."""
    options = with_teacher(EMA, dict(mask_mode='a'))
    for name, target, end in (
        ('momentum', 'teacher.momentum', 0.0),
        ('ratio', 'head.mask_ratio', 0.9),
    ):
        options[f'default_hooks.{name}'] = dict(
            type='mask_plugins.ScheduleHook',
            target=target,
            schedule=dict(
                type='mask_plugins.LinearSchedule', start=0.5, end=end
            ),
        )
    runner, _ = train(tmp_path, options)
    assert runner.model.teacher.momentum < 0.1
    assert runner.model.head.mask_ratio > 0.8


def numel(module):
    """Elements of all tensors that a module holds."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(t.numel() for t in {t.data_ptr(): t for t in tensors}.values())


@pytest.mark.parametrize('teacher', [SNAPSHOT, EMA])
def test_ema_hook_copies_no_teacher(tmp_path, teacher):
    runner, _ = train(tmp_path, with_teacher(teacher))
    hook = next(h for h in runner.hooks if isinstance(h, EMAHook))
    shadow = hook.ema_model.module
    model = runner.model
    assert shadow.teacher is None
    assert not any('teacher' in key for key in shadow.state_dict())
    assert numel(shadow) == numel(model) - numel(model.teacher)
    assert numel(shadow) < 0.6 * numel(model)
    # Only this copy is without.
    assert copy.deepcopy(model).teacher.active
    with pytest.raises(RuntimeError, match='has no teacher'):
        shadow.loss(torch.zeros(2, 3, 16, 16), [])
    checkpoint = load(tmp_path / 'epoch_3.pth')
    student = checkpoint['ema_state_dict']  # exchanged with the average
    for key, value in model.student_network().state_dict().items():
        if key.endswith(('weight', 'bias')):
            assert value.equal(student[f'module.{key}'])
    assert not any('teacher' in key for key in student)
    # The validated weights are those that a stock classifier loads.
    stock = MODELS.build(method_config('ce').model)
    found = stock.load_state_dict(checkpoint['state_dict'], strict=False)
    assert not found.missing_keys
    assert all(k.startswith('teacher.') for k in found.unexpected_keys)


def test_the_model_has_no_teacher(tmp_path):
    runner = build_runner(tmp_path, hooks=[TeacherHook()])
    with pytest.raises(TypeError, match='the model is ToyModel'):
        runner.train()
