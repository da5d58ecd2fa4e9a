# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Stages of Continuous Sparsification in real runs of a toy."""

import copy

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from torch import nn

from mask_plugins.core.weights import (
    SoftMaskLinear,
    is_two_of_four,
    mask_report,
    named_masks,
)
from mask_plugins.core.weights.rewind_point import RewindPoint
from mask_plugins.core.weights.sparsification_plan import SparsificationPlan
from mask_plugins.engine.hooks import (
    ContinuousSparsificationHook,
    TrainLogHook,
)

from ..common.processes import run_ranks
from ..common.runs import load, log_lines, log_of
from .toys import ToyModel, build_runner


class SparseToy(ToyModel):
    """Two masked layers and a norm."""

    def __init__(self, init=0.0):
        super().__init__()
        self.linear = nn.Sequential(
            SoftMaskLinear(1, 8, mask_init=init),
            nn.BatchNorm1d(8),
            SoftMaskLinear(8, 1, mask_init=init),
        )


class Watch(Hook):
    """State before and after each epoch, and temperatures."""

    priority = 'LOWEST'

    def __init__(self):
        self.before, self.after, self.temperatures = [], [], []
        self.momentum = []

    def before_train_epoch(self, runner):
        self.before.append(copy.deepcopy(runner.model.state_dict()))
        self.momentum.append(len(runner.optim_wrapper.optimizer.state))

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        mask = next(named_masks(runner.model)).mask
        self.temperatures.append(float(mask.temperature))

    def after_train_epoch(self, runner):
        self.after.append(copy.deepcopy(runner.model.state_dict()))


SMALL = dict(
    rounds=2, epochs_per_round=2, ticket_epochs=2, rewind_epoch=1, penalty=0.01
)


def train(
    work_dir, hooks=(), epochs=6, model=SparseToy, resume=False, **options
):
    watch = Watch()
    hook = ContinuousSparsificationHook(**{**SMALL, **options})
    rates = dict(
        type='mask_plugins.StagewiseMultiStepLR',
        stage_epochs=2,
        milestones=[1],
    )
    runner = build_runner(
        work_dir,
        hooks=[hook, *hooks, watch],
        epochs=epochs,
        model=model,
        param_scheduler=rates,
        resume=resume,
    )
    runner.train()
    return runner, watch


def without_masks(state):
    return {k: v for k, v in state.items() if '_mask.' not in k}


def assert_equal(a, b):
    assert set(a) == set(b)
    assert all(torch.equal(a[key], b[key]) for key in a)


# ------------------------------------------------------------------ stages
def test_stages(tmp_path):
    runner, watch = train(tmp_path, final_temperature=100.0)
    # once per epoch, again in each round; it stays in the ticket phase
    assert watch.temperatures == [1] * 3 + [100] * 3 + [1] * 3 + [100] * 9
    key = 'linear.0.weight_mask.logits'
    # between rounds: min(T s, s0)
    pruned = torch.clamp(100 * watch.after[1][key], max=0.0)
    assert torch.equal(watch.before[2][key], pruned)
    # weights go on over the rounds, and are rewound for the ticket
    assert_equal(without_masks(watch.before[2]), without_masks(watch.after[1]))
    assert_equal(
        without_masks(watch.before[4]), without_masks(watch.before[1])
    )
    assert torch.equal(watch.before[4][key], watch.after[3][key])
    # the logits of a ticket never move
    assert torch.equal(watch.after[5][key], watch.before[4][key])
    masks = [item.mask for item in named_masks(runner.model)]
    assert all(mask.ticket for mask in masks)
    assert not any(mask.logits.requires_grad for mask in masks)
    # the optimizer forgets at the ticket only
    assert watch.momentum[2] > 0
    assert watch.momentum[4] == 0


def test_temperature_per_iteration(tmp_path):
    _, watch = train(tmp_path, by_epoch=False, final_temperature=32.0)
    first = [2.0**i for i in range(6)]
    assert watch.temperatures[:6] == pytest.approx(first)
    assert watch.temperatures[6:12] == pytest.approx(first)


def test_shipped_prune_and_other_options(tmp_path):
    _, watch = train(
        tmp_path,
        prune_temperature=1,
        rewind_each_round=True,
        reset_momentum='stage',
    )
    key = 'linear.0.weight_mask.logits'
    pruned = torch.clamp(watch.after[1][key], max=0.0)
    assert torch.equal(watch.before[2][key], pruned)
    assert_equal(
        without_masks(watch.before[2]), without_masks(watch.before[1])
    )
    assert watch.momentum[2] == 0


@pytest.mark.parametrize('by', ['logit', 'magnitude', 'random'])
@pytest.mark.parametrize('scope', ['global', 'layer'])
def test_exact_sparsity(tmp_path, by, scope):
    runner, _ = train(
        tmp_path, target_sparsity=0.5, ticket_by=by, target_scope=scope
    )
    report = mask_report(runner.model)
    assert report.kept == 8
    if scope == 'layer':
        assert [row.kept for row in report.rows] == [4, 4]


def test_two_of_four_is_kept_on_resume(tmp_path):
    """From the rewind on, and in a ticket phase that continues elsewhere."""
    options = dict(ticket_pattern='2:4', ticket_by='magnitude')
    runner, watch = train(tmp_path, **options)
    key = 'linear.2.weight_mask.logits'
    for state in (watch.before[4], watch.after[5]):
        assert is_two_of_four(state[key] > 0)
    report = mask_report(runner.model)
    assert [row.kept for row in report.rows] == [4, 4]  # one input: half
    (tmp_path / 'epoch_6.pth').unlink()
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_5.pth'))
    again, _ = train(tmp_path, resume=True, **options)
    masks = again.model.state_dict()
    assert torch.equal(masks[key], watch.after[5][key])
    assert masks['linear.2.weight_mask.ticket_flag']


def test_an_empty_layer_is_said(tmp_path, caplog):
    model = lambda: SparseToy(init=-3.0)  # noqa: E731
    runner, _ = train(tmp_path, model=model)
    assert mask_report(runner.model).empty
    log = log_of(tmp_path)
    assert 'the ticket keeps nothing of' in log
    assert 'mask_init' in log


def test_penalty_is_a_loss(tmp_path):
    train(tmp_path, hooks=[TrainLogHook()])
    lines = log_lines(tmp_path)
    assert lines[0]['loss_mask'] == pytest.approx(0.01 * 16)  # m = 1
    assert all(line['loss_mask'] > 0 for line in lines[:12])
    assert all(line['loss_mask'] == 0 for line in lines[12:])
    assert [line['stage'] for line in lines[::3]] == [0, 0, 1, 1, 2, 2]
    assert {'temperature', 'density', 'soft_density'} <= set(lines[0])
    # The rates start again in each stage.
    rates = [line['lr'] for line in lines[::3]]
    assert rates == pytest.approx([0.1, 0.01] * 3)


def test_snapshot_of_one_round_is_not_replaced(tmp_path):
    """The original's ticket phase overwrites it where R = 1."""
    _, watch = train(tmp_path, rounds=1, epochs=4)
    assert_equal(
        without_masks(watch.before[2]), without_masks(watch.before[1])
    )


# -------------------------------------------------------------- evaluation
def test_averages_keep_the_scheduled_values(tmp_path):
    """Also where buffers are averaged; the average restarts at a stage."""
    ema = EMAHook(momentum=0.5, update_buffers=True)
    seen = []

    class Look(Hook):
        priority = 'LOWEST'

        def before_val_epoch(self, runner):
            mask = next(named_masks(runner.model)).mask
            seen.append((float(mask.temperature), mask.ticket))

    model = lambda: SparseToy(init=0.3)  # noqa: E731
    _, watch = train(tmp_path, hooks=[ema, Look()], model=model)
    assert seen == [(1, False), (200, False)] * 2 + [(200, True)] * 2
    checkpoint = load(tmp_path / 'epoch_2.pth')
    for part, start in (('state_dict', ''), ('ema_state_dict', 'module.')):
        key = f'{start}linear.0.weight_mask.setting_bits'
        bits = checkpoint[part][key].view(torch.float64)
        assert bits == 200
    checkpoint = load(tmp_path / 'epoch_6.pth')
    assert checkpoint['state_dict']['linear.0.weight_mask.ticket_flag']
    # what the average began with in the ticket phase was the rewound weights
    key = 'linear.2.weight'
    assert torch.equal(watch.before[4][key], watch.before[1][key])
    assert not torch.equal(
        checkpoint['state_dict'][key],
        checkpoint['ema_state_dict'][f'module.{key}'],
    )


@pytest.mark.parametrize(
    ('test_masks', 'ticket'),
    [('as_saved', False), ('soft', False), ('ticket', True)],
)
def test_what_a_test_uses(tmp_path, test_masks, ticket):
    runner, _ = train(tmp_path, test_masks=test_masks)
    for item in named_masks(runner.model):
        item.mask.ticket = False
    hook = next(
        h for h in runner.hooks if isinstance(h, ContinuousSparsificationHook)
    )
    hook.before_test_epoch(runner)
    assert [i.mask.ticket for i in named_masks(runner.model)] == [ticket] * 2
    log = log_of(tmp_path)
    assert ('tests the ticket' in log) == ticket


def refused(folder):
    with pytest.raises(ValueError, match='set find_unused_parameters=True'):
        train(folder)


@pytest.mark.ddp
def test_a_wrapper_that_would_hang_is_refused(tmp_path):
    run_ranks(refused, tmp_path)


# ---------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(rounds=0), 'rounds must be an int of at least 1, got 0'),
        (dict(epochs_per_round=1.5), 'epochs_per_round must be an int'),
        (dict(final_temperature=0.5), 'final_temperature must be a number'),
        (dict(rewind_epoch=2), r'rewind_epoch must be .* \[0, 1\], got 2'),
        (dict(prune_temperature='start'), 'prune_temperature must be'),
        (dict(target_sparsity=1.0), 'target_sparsity must be .* below 1'),
        (dict(ticket_by='random'), 'needs a target_sparsity'),
        (dict(ticket_pattern='4:8'), "pattern must be .* got '4:8'"),
        (
            dict(ticket_pattern='2:4', target_sparsity=0.9),
            'must be 0.5 or None, got 0.9',
        ),
        (dict(ticket_by='luck', target_sparsity=0.5), "got 'luck'"),
        (dict(test_masks='hard'), "got 'hard'"),
        (dict(reset_momentum=True), 'reset_momentum must be one of'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ContinuousSparsificationHook(**{**SMALL, **options})


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(epochs=5), r'2 \* 2 \+ 2 = 6, got 5'),
        (dict(model=ToyModel), 'the model has no soft masks'),
        (dict(loop='iter'), 'by_epoch=True'),
        (dict(accumulate=2), 'accumulative_counts must divide .* 3 .* got 2'),
        (dict(resume=True), 'use load_from'),
    ],
)
def test_runs_that_do_not_fit(tmp_path, options, message):
    if 'resume' in options:  # from another kind of run
        build_runner(tmp_path, model=SparseToy, epochs=1).train()
    hooks = [ContinuousSparsificationHook(**SMALL)]
    runner = build_runner(
        tmp_path, hooks, **{'model': SparseToy, 'epochs': 6, **options}
    )
    with pytest.raises(ValueError, match=message):
        runner.train()


def test_rewind_before_take():
    model = nn.Linear(2, 2)
    point = RewindPoint()
    with pytest.raises(RuntimeError, match='nothing to rewind to'):
        point.rewind(model)
    assert point.take(model)
    assert not point.take(model)
    with pytest.raises(RuntimeError, match='has changed'):
        point.rewind(nn.Linear(2, 2, bias=False))


def test_one_epoch_per_round_has_the_final_temperature():
    assert SparsificationPlan(1, 1, 1, 200.0).temperature(0, 1) == 200
