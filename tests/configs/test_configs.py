# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every config of every method resolves and builds."""

import copy
from pathlib import Path

import pytest
import yaml
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, init_default_scope

from .configs import (
    ALL,
    BASES,
    EXTERNAL,
    LEAVES,
    ROOT,
    build,
    identify,
    read,
)


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpretrain')


def innermost(dataset):
    """What wrappers, of a split or a subset, hold: one or several."""
    if isinstance(dataset, list):
        return [inner for part in dataset for inner in innermost(part)]
    return innermost(dataset.dataset) if 'dataset' in dataset else [dataset]


@pytest.mark.parametrize('path', BASES + LEAVES, ids=identify)
def test_config_resolves(path):
    cfg = read(path)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader is None:
            continue
        # The two together make torch's DataLoader fail.
        assert loader.num_workers > 0 or not loader.persistent_workers
    if cfg.get('train_dataloader') is not None:
        for dataset in innermost(cfg.train_dataloader.dataset):
            assert dataset.pipeline[0].type == 'mask_plugins.SeedSample'
            assert cfg.train_pipeline == dataset.pipeline


@pytest.mark.parametrize('path', LEAVES, ids=identify)
def test_config_builds(path):
    cfg = read(path)
    model = build(path)
    hooks = [HOOKS.build(hook) for hook in copy.deepcopy(cfg.custom_hooks)]
    names = [type(hook).__name__ for hook in hooks]
    # A list of a child replaces its base's: these two must not be lost.
    assert names[:2] == ['SeedHook', 'TrainLogHook']
    for hook in copy.deepcopy(cfg.default_hooks).values():
        if hook.type.startswith('mask_plugins.'):
            HOOKS.build(hook)
    assert cfg.default_hooks.checkpoint.type.endswith('SafeCheckpointHook')
    assert cfg.model.get('head', cfg.model.get('module', {}).get('head'))
    assert model.head is not None
    wrapper = dict(copy.deepcopy(cfg.optim_wrapper), type='OptimWrapper')
    wrapper.pop('dtype', None)  # no GPU here
    build_optim_wrapper(model, wrapper)


def test_metafile_lists_every_config_and_no_other():
    for folder in sorted({path.parent for path in LEAVES}):
        metafile = yaml.safe_load((folder / 'metafile.yml').read_text())
        collections = {entry['Name'] for entry in metafile['Collections']}
        listed = []
        for model in metafile['Models']:
            assert (ROOT / model['Config']).is_file(), model['Config']
            assert Path(model['Config']).stem == model['Name']
            assert model['In Collection'] in collections
            assert model['Weights'] is None
            listed.append(model['Name'])
            if ROOT / model['Config'] in EXTERNAL:
                continue
            cfg, data = read(ROOT / model['Config']), model['Metadata']
            if 'max_epochs' in cfg.train_cfg:
                assert data['Epochs'] == cfg.train_cfg.max_epochs, model
            if 'auto_scale_lr' in cfg:
                batch = cfg.auto_scale_lr.base_batch_size
                assert data['Batch Size'] == batch, model
        assert len(listed) == len(set(listed))
        assert set(listed) == {
            path.stem for path in ALL if path.parent == folder
        }
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    for entry in index['Import']:
        assert (ROOT / entry).is_file()
