# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""MaskReportHook and MaskDensity in a toy Runner."""

import contextlib
import json
import re
from functools import partial

import cv2
import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from torch import nn
from torch.nn import functional

from mask_plugins.core.weights import (
    ScoreMask,
    SoftMask,
    apply_weight_masks,
    mask_report,
    named_masks,
)
from mask_plugins.core.weights.unused_masks import MaskWatch
from mask_plugins.engine.hooks import MaskReportHook, TrainLogHook

from ..common.processes import run_ranks
from ..common.runs import log_lines, log_of
from .masked_toys import Hidden, Soft
from .toys import ToyModel, build_runner

METRIC = dict(type='mask_plugins.MaskDensity')


def train(work_dir, hooks=(), model=Hidden, report=None, **kwargs):
    hooks = [TrainLogHook(), MaskReportHook(**(report or {})), *hooks]
    runner = build_runner(
        work_dir, hooks, model=model, metric=METRIC, **kwargs
    )
    runner.train()
    return runner


def test_scalars_table_and_files(tmp_path):
    runner = train(tmp_path, report=dict(per_layer=True), epochs=3)
    log = log_lines(tmp_path)
    # At the end of each epoch, of the masks as they then are.
    assert [i for i, x in enumerate(log) if 'mask/density' in x] == [2, 5, 8]
    report = mask_report(runner.model)
    last = log[-1]
    for key in ('density', 'soft_density', 'density_of_model'):
        assert last[f'mask/{key}'] == getattr(report, key)
    assert last['mask/empty'] == 0
    for row in report.rows:
        assert last[f'mask/density/{row.name}'] == row.density
    # What validation tells is what the metric found in the same weights.
    val = log_lines(tmp_path, 'val_log.json')[-1]
    assert val['mask/density'] == report.density
    assert val['mask/sparsity'] == report.sparsity
    text = log_of(tmp_path)
    assert 'Masks at the end of the training' in text
    assert str(report).splitlines()[-1] in text
    written = json.loads((tmp_path / 'mask_report.json').read_text())
    assert written == json.loads(json.dumps(report.to_dict()))
    assert cv2.imread(str(tmp_path / 'mask_report.png')).shape[2] == 3
    (shown,) = tmp_path.glob('*/vis_data/vis_image/mask_report_*.png')
    assert shown.name == 'mask_report_3.png'


def test_intervals_and_no_layers(tmp_path):
    options = dict(epochs=3, loop='iter', interval=3)
    options['sampler'] = dict(type='InfiniteSampler')
    report = dict(interval=2, picture_interval=1)
    train(tmp_path, report=report, **options)
    log = log_lines(tmp_path)
    assert [i for i, x in enumerate(log) if 'mask/density' in x] == [5]
    assert not any('mask/density/' in key for line in log for key in line)
    shown = tmp_path.glob('*/vis_data/vis_image/mask_report_*.png')
    names = sorted(path.stem for path in shown)
    assert names == ['mask_report_1', 'mask_report_2', 'mask_report_3']


def test_resume_changes_nothing(tmp_path):
    options = dict(report=dict(per_layer=True, picture_interval=0))
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    train(whole, **options)
    train(killed, epochs=1, **options)
    runner = train(killed, resume=True, **options)
    for name in ('train_log.json', 'val_log.json'):
        assert log_lines(whole, name) == log_lines(killed, name)
    report = (killed / 'mask_report.json').read_text()
    assert report == (whole / 'mask_report.json').read_text()
    assert runner.message_hub.get_info('evaluated_masks') is None
    for path in killed.glob('*/*.log'):
        assert 'evaluated_masks is not defined' not in path.read_text()


# ------------------------------------------------------------------- metric
def test_the_metric_is_of_the_averaged_masks(tmp_path):
    """With an EMAHook the masks that are evaluated are not the trained."""
    runner = train(tmp_path, [EMAHook(momentum=0.3)], model=Soft)
    (ema,) = (h for h in runner.hooks if isinstance(h, EMAHook))
    averaged = mask_report(ema.ema_model.module)
    trained = mask_report(runner.model)
    assert averaged.soft_density != trained.soft_density
    val = log_lines(tmp_path, 'val_log.json')[-1]
    assert val['mask/soft_density'] == averaged.soft_density
    log = log_lines(tmp_path)[-1]
    assert log['mask/soft_density'] == trained.soft_density


def test_the_metric_under_test(tmp_path):
    train(tmp_path / 'a')
    runner = build_runner(
        tmp_path / 'b',
        hooks=[MaskReportHook()],
        model=Hidden,
        metric=METRIC,
        load_from=str(tmp_path / 'a' / 'epoch_2.pth'),
        test_evaluator=[METRIC, dict(METRIC, prefix='again')],
    )
    metrics = runner.test()
    report = mask_report(runner.model)
    names = dict(
        density=report.density,
        sparsity=1 - report.density,
        soft_density=report.density,
        density_of_model=report.density_of_model,
        empty=0,
    )
    assert metrics == {
        f'{prefix}/{key}': value
        for prefix in ('mask', 'again')
        for key, value in names.items()
    }
    assert 'Masks that are tested' in log_of(tmp_path / 'b')


def test_the_metric_without_the_hook(tmp_path):
    runner = build_runner(tmp_path, model=Hidden, metric=METRIC)
    with pytest.raises(RuntimeError, match='MaskReportHook'):
        runner.val()


def test_a_model_without_masks(tmp_path):
    with pytest.raises(ValueError, match='the model has no masks; put some'):
        train(tmp_path / 'a', model=ToyModel)
    runner = build_runner(tmp_path / 'b', [MaskReportHook()], metric=METRIC)
    with pytest.raises(ValueError, match='mask_plugins.MaskDensity'):
        runner.val()


# ----------------------------------------------------------------- warnings
class Spoil(Hook):
    """Change the scores of the first mask after an iteration."""

    def __init__(self, value, iteration=1):
        self.value, self.iteration = value, iteration

    def after_train_iter(self, runner, batch_idx, **kwargs):
        if runner.iter == self.iteration:
            mask = next(named_masks(runner.model)).mask
            for parameter in mask.parameters():
                parameter.data.fill_(self.value)


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (-100.0, 'nothing of linear.0.weight is kept. Soft masks: start'),
        (float('nan'), 'scores of linear.0.weight are NaN or infinite'),
    ],
)
def test_broken_masks_are_named_once(tmp_path, value, message):
    # A checkpoint of NaNs is refused.
    with contextlib.suppress(FloatingPointError):
        train(tmp_path, [Spoil(value, 2)], epochs=3)
    assert log_of(tmp_path).count(message) == 1


def test_a_soft_mask_below_zero_is_not_empty_yet(tmp_path):
    """The ticket would be, but s0 < 0 is where the search begins."""
    runner = train(tmp_path, [Spoil(-0.2, 2)], epochs=1, model=Soft)
    assert 'nothing of' not in log_of(tmp_path)
    assert log_lines(tmp_path)[-1]['mask/empty'] == 1
    item = next(named_masks(runner.model))
    item.mask.temperature = 200
    assert item.mask.soft_density() < MaskReportHook.NEGLIGIBLE


class Past(Hidden):
    """Computes with the second weight itself, past its mask."""

    def second(self):
        return self.linear[1]._parameters['weight']

    def forward(self, x, y, mode='tensor', **kwargs):
        first, second = self.linear
        x = torch.as_tensor(x, dtype=torch.float32)[:, None] / 12
        out = functional.linear(first(x), self.second(), second.bias)
        if mode == 'loss':
            return dict(loss=out.square().mean())
        return [dict(out=value.item()) for value in out]


class Detached(Past):
    """Uses a weight that no loss depends on."""

    def second(self):
        return self.linear[1].weight.detach()


class PastInEvaluation(Past):
    def second(self):
        return self.linear[1].weight if self.training else super().second()


def test_a_mask_that_nothing_reads(tmp_path):
    """It is an error, in training and in evaluation, or a warning."""
    message = 'masks of linear.1.weight were not used in the first iteration'
    for model, where in ((Past, 'training'), (PastInEvaluation, 'evaluation')):
        with pytest.raises(RuntimeError, match=f'{message} of the {where}'):
            train(tmp_path / where, model=model, epochs=1)
        warned = tmp_path / f'{where} warned'
        train(warned, model=model, epochs=1, report=dict(unused='warning'))
        assert message in log_of(warned)


class Auxiliary(Hidden):
    """A part of its own that only the training uses."""

    def __init__(self):
        super().__init__()
        self.extra = nn.Linear(1, 1)
        apply_weight_masks(self, [('extra.weight', 'mask')], self.mask)

    def forward(self, x, y, mode='tensor', **kwargs):
        out = super().forward(x, y, mode=mode, **kwargs)
        if mode == 'loss':
            out['loss'] = out['loss'] + self.extra(torch.ones(1, 1)).sum()
        return out


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (Hidden, None),
        (Soft, None),
        (Detached, 'masks of linear.1.weight got no gradient'),
        (Auxiliary, 'masks of extra.weight are not used in evaluation'),
    ],
)
def test_masks_without_a_use(tmp_path, model, message):
    train(tmp_path, model=model, epochs=1)
    log = log_of(tmp_path)
    assert message in log if message else 'masks of' not in log


@pytest.mark.parametrize(
    ('init', 'kind', 'message'),
    [
        (1.0, ScoreMask, ''),
        (1e3, ScoreMask, 'away from the threshold 0, so that in 102 more'),
        (-0.1, SoftMask, 'nothing sets its temperature, which stays 1'),
    ],
)
def test_masks_that_cannot_do_anything(tmp_path, init, kind, message):
    class Model(Hidden):
        mask = partial(kind, init=init)

    once = dict(interval=67, checkpoint=dict(interval=67))
    report = dict(picture_interval=0)
    train(tmp_path, model=Model, epochs=67, report=report, **once)
    said = 'masks of linear.0.weight, linear.1.weight will not change'
    text = log_of(tmp_path)
    assert text.count(said) == (1 if message else 0)
    assert message in text


def test_a_penalty_is_no_gradient_of_the_network():
    """The logits have one, but the network reads the weight past them."""
    model = Detached()
    watch = MaskWatch(model)
    scores = [item.mask.scores for item in named_masks(model)]
    x, y = torch.arange(4.0), torch.arange(4.0)
    loss = model(x, y, mode='loss')['loss']
    (loss + sum(score.sum() for score in scores)).backward()
    watch.close()
    assert watch.without_gradient == ['linear.1.weight']
    assert all(score.grad is not None for score in scores)
    assert not any(i.mask._forward_hooks for i in named_masks(model))


def test_frozen_masks_are_not_missed():
    model = Detached().requires_grad_(False)
    watch = MaskWatch(model)
    x, y = torch.arange(4.0), torch.arange(4.0)
    model(x, y, mode='loss')
    watch.close()
    assert watch.used == ['linear.0.weight', 'linear.1.weight']
    assert watch.without_gradient == []


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(interval=0), 'interval must be an int of at least 1, got 0'),
        (dict(picture_interval=-1), 'picture_interval must be an int of at'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaskReportHook(**arguments)


def rank_of_two(folder):
    runner = build_runner(
        folder, hooks=[MaskReportHook()], model=Hidden, metric=METRIC
    )
    runner.train()
    print('density', runner.val_loop.run()['mask/density'])


@pytest.mark.ddp
def test_two_processes(tmp_path):
    """Rank 0 alone writes; both have the metric."""
    output = run_ranks(rank_of_two, tmp_path)
    (density,) = set(re.findall(r'density (\S+)', output))
    written = json.loads((tmp_path / 'mask_report.json').read_text())
    assert written['density'] == float(density)
    assert 'got no gradient' not in log_of(tmp_path)
