# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A run that was killed before a validation makes it up."""

import pytest

from mask_plugins.engine.hooks import TrainLogHook

from ..common import runs
from ..common.runs import Stop, StopHook, Validations, names
from .toys import build_runner


def train(work_dir, **kwargs):
    return runs.train(build_runner(work_dir, **kwargs))


def stop_and_resume(work_dir, point, count, priority=50, **kwargs):
    """At which iterations the resumed run validates, and what it logs."""
    with pytest.raises(Stop):
        train(work_dir, hooks=[StopHook(point, count, priority)], **kwargs)
    validations = Validations()
    hooks = [validations, TrainLogHook()]
    text = train(work_dir, hooks=hooks, resume=True, **kwargs)
    return validations.at, text


@pytest.mark.parametrize(
    ('point', 'count', 'options', 'at'),
    [
        ('before_val', 1, {}, [3, 6]),
        ('before_val', 2, {}, [6]),  # the last epoch
        (
            'before_val',
            1,
            dict(loop='iter', interval=2, checkpoint=dict(by_epoch=False)),
            [2, 4, 6],
        ),
        # Not due.
        ('before_train_epoch', 2, dict(epochs=4, interval=2), [6, 12]),
        # A new best saves the checkpoint again, with the validation.
        (
            'before_train_epoch',
            2,
            dict(checkpoint=dict(save_best='toy/acc')),
            [6],
        ),
    ],
)
def test_what_is_owed(tmp_path, point, count, options, at):
    assert stop_and_resume(tmp_path, point, count, **options)[0] == at


def test_best_is_the_uninterrupted_runs(tmp_path):
    options = dict(checkpoint=dict(save_best='toy/acc', max_keep_ckpts=1))
    point = ('after_val_epoch', 1, 'LOW')
    assert stop_and_resume(tmp_path / 'a', *point, **options)[0] == [3, 6]
    train(tmp_path / 'b', **options)
    assert names(tmp_path / 'a') == names(tmp_path / 'b')


def test_checkpoint_inside_an_epoch_warns(tmp_path):
    options = dict(checkpoint=dict(by_epoch=False, interval=2))
    at, text = stop_and_resume(tmp_path, 'before_train_iter', 3, **options)
    assert 'inside epoch 1 (iteration 2)' in text
    assert at == [5, 8]
