# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""All configs of the repository, read and built once."""

import copy
import functools
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mask_plugins.models.teachers import ensemble_teacher

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
PROJECTS = ('mmdet', 'mmseg')
ALL = sorted(
    path
    for path in CONFIGS.glob('*/*.py')
    if '_base_' not in path.relative_to(CONFIGS).parts
)
# Their bases lie in another project, which need not be installed.
EXTERNAL = [path for path in ALL if path.stem.split('_')[1] in PROJECTS]
LEAVES = [path for path in ALL if path not in EXTERNAL]
BASES = sorted((CONFIGS / '_base_').rglob('*.py'))


def identify(path):
    return path.stem


@lru_cache(maxsize=None)
def read(path):
    return Config.fromfile(str(path))


@lru_cache(maxsize=None)
def build(path):
    """The model, on no device: names and shapes without a second of time."""
    init_default_scope('mmpretrain')
    with torch.device('meta'), _linspace_on_cpu(), _no_checkpoints():
        return MODELS.build(copy.deepcopy(read(path).model))


@contextmanager
def _linspace_on_cpu():
    """mmpretrain's ResNet asks a tensor for its drop path rates."""
    stock = torch.linspace
    torch.linspace = functools.partial(stock, device='cpu')
    try:
        yield
    finally:
        torch.linspace = stock


@contextmanager
def _no_checkpoints():
    """An ensemble's members are made by other runs."""
    stock = ensemble_teacher._load
    ensemble_teacher._load = lambda member, path: None
    try:
        yield
    finally:
        ensemble_teacher._load = stock
