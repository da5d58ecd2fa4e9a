# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""``tools/test.py`` on a small checkpoint."""

import json
import pickle
import sys
from pathlib import Path

import pytest

from ..small_run import QUICKSTART, SMALL, SMALL_TEST
from .test_train import end_of, lines, run, train

ROOT = Path(__file__).resolve().parents[2]
TEST = ROOT / 'tools' / 'test.py'


def run_test(*options):
    return run(sys.executable, TEST, QUICKSTART, *options)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The work_dir of a small training."""
    folder = tmp_path_factory.mktemp('trained')
    done = train('--work-dir', folder, '--cfg-options', *SMALL)
    assert done.returncode == 0, done.stdout
    return folder


def test_metrics_are_those_of_the_validation(trained, tmp_path):
    done = run_test(
        trained / 'epoch_1.pth', '--work-dir', tmp_path,
        '--out', tmp_path / 'metrics.json', '--out-item', 'metrics',
        '--cfg-options', *SMALL_TEST,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    validation = lines(trained / 'val_log.json')[-1]
    assert metrics['accuracy/top1'] == validation['accuracy/top1']


@pytest.mark.slow
def test_predictions_with_augmentation(trained, tmp_path):
    done = run_test(
        trained / 'epoch_1.pth', '--work-dir', tmp_path, '--tta',
        '--out', tmp_path / 'predictions.pkl', '--cfg-options', *SMALL_TEST,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    predictions = pickle.loads((tmp_path / 'predictions.pkl').read_bytes())
    assert len(predictions) == 20


@pytest.mark.slow
def test_pictures_of_the_results(trained, tmp_path):
    done = run_test(
        trained / 'epoch_1.pth', '--work-dir', tmp_path,
        '--show-dir', tmp_path / 'shown', '--interval', '10',
        '--cfg-options', *SMALL_TEST,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert len(list(tmp_path.glob('shown/*'))) == 2


def test_bad_input_is_named_and_writes_nothing(tmp_path, monkeypatch, capsys):
    options = ('--work-dir', tmp_path / 'run')
    error = end_of(monkeypatch, TEST, QUICKSTART, 'nowhere.pth', *options)
    assert error.startswith('test.py: checkpoint: file not found: nowhere')
    options += ('--out-item', 'metrics')
    assert end_of(monkeypatch, TEST, QUICKSTART, 'x.pth', *options) == 2
    assert '--out-item needs --out' in capsys.readouterr().err
    assert not (tmp_path / 'run').exists()
