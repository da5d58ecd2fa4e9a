# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A killed run with a teacher resumes as if it had not been killed."""

import copy

import pytest

from .teacher_runs import reference, transformer
from .test_resume import BEFORE_VAL, assert_same_run, kill_and_resume, run

__all__ = ['run']  # a fixture

# There are 4 iterations per epoch, 3 epochs. The first checkpoint is written
# after iteration 4.
SECOND_EPOCH = dict(hook=dict(point='after_train_iter', count=7))
THIRD_EPOCH = dict(hook=dict(point='after_train_iter', count=11))
SNAPSHOT = dict(type='SnapshotTeacher', begin=1)
EMA = dict(type='EMATeacher', momentum=0.2, begin=1)
ANNEALED = dict(EMA, mode='anne', gamma=2)
# A snapshot whose interval ends outside the resumed epoch: the teacher
# comes from the checkpoint.
KEPT = dict(type='SnapshotTeacher', begin=1, interval=5)
CASES = dict(
    kd_kept=(reference(KEPT), THIRD_EPOCH),
    kd_swapped=(reference(SNAPSHOT), THIRD_EPOCH),
    kd_before=(reference(dict(SNAPSHOT, begin=2)), SECOND_EPOCH),
    ema=(reference(EMA, dict(mask_mode='a', inv_mode='v2')), THIRD_EPOCH),
    ema_before=(reference(dict(EMA, begin=2)), SECOND_EPOCH),
    head=(reference(ANNEALED, dict(inv_mode='v1'), scope='head'), BEFORE_VAL),
    transformer=(
        transformer(
            dict(EMA, type='mask_plugins.EMATeacher'),
            dict(mask_multi=2, mask_loss='cosine'),
        ),
        THIRD_EPOCH,
    ),
)
FAST = ('kd_kept', 'ema')


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
        for name in CASES
    ],
)
def test_resume(run, tmp_path, name):
    override, death = copy.deepcopy(CASES[name])
    accumulate = 2 if name == 'ema' else 1
    options = dict(override=override, accumulate=accumulate)
    run(tmp_path / 'whole', **options)
    kill_and_resume(run, tmp_path / 'killed', **options, **death)
    assert_same_run(tmp_path / 'killed', tmp_path / 'whole')
