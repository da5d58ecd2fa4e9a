# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A run over tasks resumes inside any of them as if nothing had happened."""

import copy
import json

import pytest

from .continual_runs import lwf
from .test_resume import assert_same_run, kill_and_resume, run

__all__ = ['run']  # a fixture

# Task 1 has 2 epochs, task 2 has 3.
SECOND_TASK = dict(hook=dict(point='before_train_epoch', count=5))
WITHIN = dict(hook=dict(point='after_train_iter', count=11))
TASK_DONE = dict(hook=dict(point='before_val', count=1))
CASES = dict(
    lwf=(lwf(), WITHIN),
    masked=(lwf(dict(mask_mode='a', inv_mode='v2')), SECOND_TASK),
    boundary=(lwf(), TASK_DONE),
    ema=(lwf(teacher=dict(type='EMATeacher', momentum=0.2)), WITHIN),
)


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=() if name == 'lwf' else pytest.mark.slow)
        for name in CASES
    ],
)
def test_killed(run, tmp_path, name):
    override, death = copy.deepcopy(CASES[name])
    run(tmp_path / 'whole', override=override)
    kill_and_resume(run, tmp_path / 'killed', override=override, **death)
    same(tmp_path)


def test_preempted_in_the_first_epoch_of_the_second_task(run, tmp_path):
    """The teacher must not be taken again, from a model that has moved."""
    options = dict(override=lwf(), preempt={})
    run(tmp_path / 'whole', **options)
    signal = dict(
        type='mask_plugins.SignalHook', point='after_train_iter', count=7
    )  # the first iteration of task 2
    run(tmp_path / 'killed', code=75, hook=signal, **options)
    run(tmp_path / 'killed', **options)
    same(tmp_path)


def same(folder):
    assert_same_run(folder / 'killed', folder / 'whole')
    reports = [
        json.loads((folder / name / 'accuracy_matrix.json').read_text())
        for name in ('killed', 'whole')
    ]
    assert reports[0] == reports[1]
    assert [len(row) for row in reports[0]['matrix']] == [1, 2]
