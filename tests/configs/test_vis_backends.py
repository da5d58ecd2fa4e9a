# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Each backend for logs is there after uncommenting one line."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import VISBACKENDS
from mmengine.runner import Runner

from tests.engine.feature_runs import config

PATH = Path(__file__).parents[2] / 'configs/_base_/default_runtime.py'
TYPES = ('Tensorboard', 'Wandb', 'MLflow', 'Neptune')


def uncommented(kind):
    """The base config with that one line uncommented."""
    text = PATH.read_text(encoding='utf-8')
    line = rf"^(\s+)# (dict\(type='{kind}VisBackend'.*\),)$"
    text, count = re.subn(line, r'\1\2', text, flags=re.MULTILINE)
    assert count == 1
    return Config.fromstring(text, '.py')


@pytest.mark.parametrize('kind', TYPES)
def test_one_line_adds_a_backend(kind):
    cfg = uncommented(kind)
    names = [backend.type for backend in cfg.vis_backends]
    assert names == ['LocalVisBackend', f'{kind}VisBackend']
    assert cfg.visualizer.vis_backends == cfg.vis_backends
    assert VISBACKENDS.get(names[1]) is not None


def train(kind, tmp_path):
    """A run that logs with it; returns its work_dir."""
    cfg = config(tmp_path / 'run')
    cfg.visualizer = uncommented(kind).visualizer
    cfg.visualizer.name = f'vis_{kind}'  # visualizers are kept by name
    Runner.from_cfg(cfg).train()
    return tmp_path / 'run'


def holds(folder, pattern, text):
    """Whether a file of that name has the text in it."""
    files = [path for path in folder.rglob(pattern) if path.is_file()]
    return any(text in path.read_bytes() for path in files)


def test_tensorboard(tmp_path):
    pytest.importorskip('tensorboard')
    folder = train('Tensorboard', tmp_path)
    assert holds(folder, 'events.out.tfevents.*', b'accuracy/top1')


def test_wandb(tmp_path, monkeypatch):
    wandb = pytest.importorskip('wandb')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    folder = train('Wandb', tmp_path)
    wandb.finish()
    assert holds(folder, 'run-*.wandb', b'accuracy/top1')


def test_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip('mlflow')
    monkeypatch.chdir(tmp_path)
    # The store of plain files, which newer versions ask to confirm.
    monkeypatch.setenv('MLFLOW_ALLOW_FILE_STORE', 'true')
    folder = train('MLflow', tmp_path)
    found = list(folder.rglob('metrics/accuracy/top1'))
    assert found or holds(folder, '*.db', b'accuracy/top1')
    mlflow.set_tracking_uri(None)
