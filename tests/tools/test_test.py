# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""``tools/test.py`` on a small checkpoint."""

import json
import pickle

import pytest

from ..common.processes import run_python
from ..common.tools import end_of
from ..small_run import QUICKSTART, ROOT, SMALL, SMALL_TEST
from .test_train import lines, train


def run_test(folder, *options):
    run_python(
        ROOT / 'tools' / 'test.py', QUICKSTART, *options, '--work-dir',
        folder, '--cfg-options', *SMALL_TEST,
    )  # fmt: skip


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The work_dir of a small training."""
    folder = tmp_path_factory.mktemp('trained')
    train('--work-dir', folder, '--cfg-options', *SMALL)
    return folder


def test_metrics_are_those_of_the_validation(trained, tmp_path):
    out = tmp_path / 'metrics.json'
    options = ('--out', out, '--out-item', 'metrics')
    run_test(tmp_path, trained / 'epoch_1.pth', *options)
    metrics = json.loads(out.read_text())
    validation = lines(trained / 'val_log.json')[-1]
    assert metrics['accuracy/top1'] == validation['accuracy/top1']


@pytest.mark.slow
def test_predictions_with_augmentation(trained, tmp_path):
    out = tmp_path / 'predictions.pkl'
    run_test(tmp_path, trained / 'epoch_1.pth', '--tta', '--out', out)
    assert len(pickle.loads(out.read_bytes())) == 20


@pytest.mark.slow
def test_pictures_of_the_results(trained, tmp_path):
    options = ('--show-dir', tmp_path / 'shown', '--interval', '10')
    run_test(tmp_path, trained / 'epoch_1.pth', *options)
    assert len(list(tmp_path.glob('shown/*'))) == 2


def test_bad_input_is_named_and_writes_nothing(tmp_path, monkeypatch, capsys):
    options = ('--work-dir', tmp_path / 'run')
    error = end_of(monkeypatch, 'test', QUICKSTART, 'nowhere.pth', *options)
    assert error.startswith('test.py: checkpoint: file not found: nowhere')
    options += ('--out-item', 'metrics')
    assert end_of(monkeypatch, 'test', QUICKSTART, 'x.pth', *options) == 2
    assert '--out-item needs --out' in capsys.readouterr().err
    assert not (tmp_path / 'run').exists()
