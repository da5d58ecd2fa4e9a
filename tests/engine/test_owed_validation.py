# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A run that was killed before a validation makes it up."""

import pytest

from mask_plugins.engine.hooks import TrainLogHook

from ..common import runs
from ..common.runs import Stop, StopHook, Validations, names
from .toys import build_runner


def train(work_dir, **kwargs):
    return runs.train(build_runner(work_dir, **kwargs))


class TestOwedValidation:
    def stop_and_resume(self, work_dir, point, count, priority=50, **kwargs):
        with pytest.raises(Stop):
            train(work_dir, hooks=[StopHook(point, count, priority)], **kwargs)
        validations = Validations()
        log = TrainLogHook()
        train(work_dir, hooks=[validations, log], resume=True, **kwargs)
        return validations.at

    def test_epoch_loop(self, tmp_path):
        assert self.stop_and_resume(tmp_path, 'before_val', 1) == [3, 6]

    def test_last_epoch(self, tmp_path):
        assert self.stop_and_resume(tmp_path, 'before_val', 2) == [6]

    def test_iteration_loop(self, tmp_path):
        at = self.stop_and_resume(
            tmp_path,
            'before_val',
            1,
            loop='iter',
            interval=2,
            checkpoint=dict(by_epoch=False, interval=1),
        )
        assert at == [2, 4, 6]

    def test_not_due(self, tmp_path):
        at = self.stop_and_resume(
            tmp_path, 'before_train_epoch', 2, epochs=4, interval=2
        )
        assert at == [6, 12]

    def test_recorded(self, tmp_path):
        """A new best saves the checkpoint again, with the validation."""
        options = dict(save_best='toy/acc')
        at = self.stop_and_resume(
            tmp_path, 'before_train_epoch', 2, checkpoint=options
        )
        assert at == [6]

    def test_best_is_the_uninterrupted_runs(self, tmp_path):
        options = dict(save_best='toy/acc', max_keep_ckpts=1)
        validations = self.stop_and_resume(
            tmp_path / 'a',
            'after_val_epoch',
            1,
            priority='LOW',
            checkpoint=options,
        )
        assert validations == [3, 6]
        train(tmp_path / 'b', checkpoint=options)
        assert names(tmp_path / 'a') == names(tmp_path / 'b')

    def test_checkpoint_inside_an_epoch_warns(self, tmp_path):
        options = dict(by_epoch=False, interval=2)
        with pytest.raises(Stop):
            train(
                tmp_path,
                checkpoint=options,
                hooks=[StopHook('before_train_iter', 3)],
            )
        validations = Validations()
        text = train(
            tmp_path, checkpoint=options, hooks=[validations], resume=True
        )
        assert 'inside epoch 1 (iteration 2)' in text
        assert validations.at == [5, 8]
