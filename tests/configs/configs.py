# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""All configs of the repository, read and built once."""

import copy
import functools
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from PIL import Image

from mask_plugins.models.teachers import ensemble_teacher

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
ALL = sorted(set(CONFIGS.glob('*/*.py')) - set(CONFIGS.glob('_base_/*')))
# Their bases are in another project, which need not be installed.
PROJECTS = ('mmdet', 'mmseg')
EXTERNAL = [path for path in ALL if path.parent.name in PROJECTS]
LEAVES = [path for path in ALL if path not in EXTERNAL]
_BASES = sorted((CONFIGS / '_base_').rglob('*.py'))
EXTERNAL_BASES = [path for path in _BASES if path.parent.name in PROJECTS]
BASES = [path for path in _BASES if path not in EXTERNAL_BASES]


def identify(path):
    return path.stem


def leaves_of(folder):
    return [path for path in LEAVES if path.parent.name == folder]


def find(name):
    """The file of a config: names are unique."""
    (path,) = [path for path in ALL + _BASES if path.stem == name]
    return path


def read(path, **env):
    """The config as it is with these environment variables; do not change."""
    return _read(path, tuple(env.items()))


def load(name, **env):
    """A config by its name, to be changed."""
    return copy.deepcopy(read(find(name), **env))


def build(path, **env):
    """The model, on no device: names and shapes without a second of time."""
    return _build(path, tuple(env.items()))


def model_of(name, **env):
    return build(find(name), **env)


@lru_cache(maxsize=None)
def _read(path, env):
    with mock.patch.dict(os.environ, dict(env)):
        return Config.fromfile(str(path))


@lru_cache(maxsize=None)
def _build(path, env):
    if 'efficientnet' in path.stem:
        pytest.importorskip('timm')
    init_default_scope('mmpretrain')
    # mmpretrain's ResNet asks a tensor for its drop path rates; the members
    # of an ensemble are made by other runs.
    linspace = functools.partial(torch.linspace, device='cpu')
    with torch.device('meta'), mock.patch.multiple(
        torch, linspace=linspace
    ), mock.patch.multiple(ensemble_teacher, load_frozen=mock.DEFAULT):
        return MODELS.build(copy.deepcopy(_read(path, env).model))


def innermost(dataset):
    """The datasets inside wrappers, of a split or a subset."""
    if isinstance(dataset, list):
        return [inner for part in dataset for inner in innermost(part)]
    return innermost(dataset.dataset) if 'dataset' in dataset else [dataset]


def heads(head):
    """The head, and those that it wraps."""
    return [head] + (heads(head.head) if 'head' in head else [])


def shorten(cfg, work_dir, train, test):
    """A run of two epochs and of so many images."""
    for part, count in (('train', train), ('val', test), ('test', test)):
        for dataset in innermost(cfg[f'{part}_dataloader'].dataset):
            dataset.indices = count
    cfg.train_cfg.max_epochs = 2
    cfg.work_dir = str(work_dir)
    cfg.log_level = 'ERROR'
    return cfg


def train(cfg):
    """A run on one thread; returns the runner."""
    torch.set_num_threads(1)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def image(path, size):
    """Write a random image; returns its pixels and a sample of a dataset."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    sample = dict(img_path=str(path), gt_label=1, sample_idx=0)
    return pixels, dict(sample, img=pixels)


def mim(*args, cwd, **env):
    """Run mim as a user does; returns what it printed."""
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', **env)
    run = subprocess.run(
        [sys.executable, '-m', 'mim', *map(str, args)],
        cwd=cwd, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr
