# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""All configs of the repository, read and built once."""

import copy
from functools import lru_cache
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

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
    try:
        with torch.device('meta'):
            return MODELS.build(copy.deepcopy(read(path).model))
    except RuntimeError as error:
        if 'meta tensors' not in str(error):
            raise
    # mmpretrain's ResNet asks a tensor for its drop path rates.
    return MODELS.build(copy.deepcopy(read(path).model))
