# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A run that is resumed with another length: one rule for all schedules."""

from unittest import mock

import pytest
import torch
from mmengine.hooks import Hook

from mask_plugins.engine.checkpoint.resumed_length import fit_length
from mask_plugins.engine.hooks import safe_checkpoint_hook

from .test_schedule_hook import run

LINEAR = dict(type='mask_plugins.LinearSchedule', start=0.8, end=0.0)
BY_ITER = dict(by_epoch=True, convert_to_iter_based=True)
RATES = dict(
    ours=[dict(type='mask_plugins.WarmupCosineLR', warmup=1, **BY_ITER)],
    chained=[
        dict(type='LinearLR', start_factor=0.1, end=1, **BY_ITER),
        dict(type='CosineAnnealingLR', begin=1, **BY_ITER),
    ],
    by_epoch=[dict(type='MultiStepLR', milestones=[1, 3])],
    none=[],
)


class Look(Hook):
    """Notes iteration, rate and scheduled value, and what was moved."""

    priority = 'LOWEST'

    def __init__(self):
        self.seen, self.said = [], ''

    def after_load_checkpoint(self, runner, checkpoint):
        assert fit_length(runner, checkpoint) == ''  # it was fitted before

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        rate = runner.optim_wrapper.param_groups[0]['lr']
        ratio = runner.model.backbone.drop_ratio
        self.seen.append((runner.iter, rate, ratio))


class Stop(Hook):
    def before_train_epoch(self, runner):
        if runner.epoch == 2:
            raise InterruptedError


def train(folder, epochs, batch_size, scheduler, *hooks, **kwargs):
    look = Look()
    schedule = dict(
        type='mask_plugins.ScheduleHook',
        target='backbone.drop_ratio',
        schedule=LINEAR,
        probe=False,
    )
    with mock.patch.object(safe_checkpoint_hook, 'fit_length') as fitted:
        fitted.side_effect = lambda *args: setattr(
            look, 'said', fit_length(*args)
        )
        run(
            folder,
            [schedule, look, *hooks],
            epochs=epochs,
            batch_size=batch_size,
            param_scheduler=RATES[scheduler],
            **kwargs,
        )
    return look


@pytest.mark.parametrize('scheduler', list(RATES))
@pytest.mark.parametrize(
    ('then', 'now', 'begins'),
    [
        ((4, 3), (4, 6), 4),  # a larger batch, or more processes
        ((4, 6), (4, 3), 8),
        ((4, 3), (8, 3), 8),  # more epochs
        ((4, 3), (8, 2), 12),
    ],
)
def test_the_rest_is_that_of_a_run_of_the_new_length(
    tmp_path, scheduler, then, now, begins
):
    folder = tmp_path / 'run'
    with pytest.raises(InterruptedError):
        train(folder, *then, scheduler, Stop())
    resumed = train(folder, *now, scheduler, resume=True)
    whole = train(tmp_path / 'whole', *now, scheduler)
    assert resumed.seen[0][0] == begins
    found, expected = map(torch.tensor, (resumed.seen, whole.seen[begins:]))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    assert f'the run is now {now[0]} epochs of {12 // now[1]}' in resumed.said


@pytest.mark.parametrize('scheduler', list(RATES))
def test_nothing_moves_in_a_run_of_the_same_length(tmp_path, scheduler):
    with pytest.raises(InterruptedError):
        train(tmp_path / 'run', 4, 3, scheduler, Stop())
    resumed = train(tmp_path / 'run', 4, 3, scheduler, resume=True)
    whole = train(tmp_path / 'whole', 4, 3, scheduler)
    assert resumed.said == ''
    assert resumed.seen == whole.seen[8:]
