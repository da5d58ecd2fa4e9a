# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Killed or stopped and resumed by mmdet's and mmseg's own tool."""

import signal

import pytest

from tests.common.equal import assert_equal
from tests.common.runs import log_lines

from . import runs

pytestmark = [pytest.mark.mmdet, pytest.mark.slow]
# Between two checkpoints; SIGTERM saves and ends with 75.
KILLED = dict(iteration=10, name='SIGKILL'), -signal.SIGKILL
STOPPED = dict(iteration=10, name='SIGTERM'), 75


@pytest.mark.parametrize(
    ('name', 'end'),
    [
        ('cs_retinanet-r18_1xb8-3x12e_coco', KILLED),
        ('pss_retinanet-vit-small_1xb8-12e_coco', STOPPED),
        ('smn_retinanet-r18_1xb8-12e_coco', STOPPED),
        ('cs_fcn-r18_4xb2-3x36e_cityscapes', STOPPED),
        ('smn_fcn-r18_4xb2-80k_cityscapes', KILLED),
        ('kd_fcn-r18_4xb2-80k_cityscapes', KILLED),
        ('pss_fcn-vit-small_4xb2-80k_cityscapes', KILLED),
    ],
)
def test_resumed_equals_uninterrupted(name, end, trained, tmp_path):
    config, folder = trained(name)
    (death, code), work_dir = end, tmp_path / 'run'
    runs.train(config, work_dir, death=death, code=code)
    before = {path.name for path in work_dir.glob('*.pth')}
    missing = {path.name for path in folder.glob('*.pth')} - before
    assert len(missing) == 1
    runs.train(config, work_dir, '--resume')
    for file in missing:
        for resumed, whole in zip(
            runs.weights_of(work_dir / file), runs.weights_of(folder / file)
        ):
            assert resumed.keys() == whole.keys()
            assert_equal(resumed, whole)
    for log in ('train_log.json', 'val_log.json'):
        whole = log_lines(folder, log)
        assert log_lines(work_dir, log) == whole
        assert whole
