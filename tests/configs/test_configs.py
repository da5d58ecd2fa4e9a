# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every config of every method resolves and builds."""

import copy
import re

import pytest
import yaml
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS

from .configs import (
    ALL,
    BASES,
    LEAVES,
    ROOT,
    build,
    find,
    heads,
    identify,
    innermost,
    mim,
    read,
)

LOADERS = [f'{part}_dataloader' for part in ('train', 'val', 'test')]
# {method}_{model}_{gpus}xb{batch}[-{schedule}][_{data}]
NAME = re.compile(r'[a-z0-9-]+_[a-z0-9-]+_\dxb\d+(-[a-z0-9-]+)?(_[a-z0-9-]+)?')

FOLDERS = {path.parent for path in LEAVES}


def epochs_of(cfg):
    return cfg.train_cfg.get('max_epochs', cfg.train_cfg.get('epochs'))


def metafile_of(folder):
    return yaml.safe_load((folder / 'metafile.yml').read_text())


def test_names_follow_the_scheme_and_are_unique():
    names = [path.name for path in ALL + BASES]
    names += [path.name for path in (ROOT / 'tools').rglob('*.py')]
    assert sorted(set(names)) == sorted(names)  # mim takes a bare name
    assert [path.stem for path in ALL if not NAME.fullmatch(path.stem)] == []
    for path in LEAVES:
        cfg = read(path)
        gpus, batch = re.search(r'_(\d)xb(\d+)', path.stem).groups()
        if 'pass-stream' in path.stem:  # for tests
            assert cfg.test_dataloader.batch_size == int(batch)
            continue
        assert cfg.train_dataloader.batch_size == int(batch), path
        if 'auto_scale_lr' in cfg:
            together = int(gpus) * int(batch)
            assert cfg.auto_scale_lr.base_batch_size == together, path
        epochs = re.search(r'(?:(\d)x)?(\d+)e(_|$)', path.stem)
        length = int(epochs[1] or 1) * int(epochs[2])
        assert epochs_of(cfg) == length, path


@pytest.mark.parametrize('path', BASES + LEAVES, ids=identify)
def test_config_resolves(path):
    cfg = read(path)
    for loader in filter(None, map(cfg.get, LOADERS)):
        # The two together make torch's DataLoader fail.
        assert loader.num_workers > 0 or not loader.persistent_workers
    if cfg.get('train_dataloader') is not None:
        for dataset in innermost(cfg.train_dataloader.dataset):
            assert dataset.pipeline[0].type == 'mask_plugins.SeedSample'
            assert cfg.train_pipeline == dataset.pipeline


@pytest.mark.parametrize('path', LEAVES, ids=identify)
def test_config_builds(path):
    cfg = read(path)
    if 'TIMMBackbone' in str(cfg.model):
        pytest.importorskip('timm')
    if 'PeftModel' in str(cfg.model):
        pytest.skip('loads its weights when it is built')
    model = build(path)
    hooks = [HOOKS.build(hook) for hook in copy.deepcopy(cfg.custom_hooks)]
    names = [type(hook).__name__ for hook in hooks]
    # A list of a child replaces its base's: these two must not be lost.
    assert names[:2] == ['SeedHook', 'TrainLogHook']
    for hook in copy.deepcopy(cfg.default_hooks).values():
        if hook.type.startswith('mask_plugins.'):
            HOOKS.build(hook)
    assert cfg.default_hooks.checkpoint.type.endswith('SafeCheckpointHook')
    assert model.head is not None
    video = 'VideoClips' in str(cfg.test_dataloader)  # ImageNet's classes
    for head in heads(cfg.model.head):
        if 'num_classes' in head and not video:
            assert head.num_classes == cfg.data_preprocessor.num_classes
    wrapper = dict(copy.deepcopy(cfg.optim_wrapper), type='OptimWrapper')
    wrapper.pop('dtype', None)  # no GPU here
    build_optim_wrapper(model, wrapper)


def test_metafiles_list_what_was_measured():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    assert {(ROOT / entry).parent for entry in index} == FOLDERS
    for folder in sorted(FOLDERS):
        metafile = metafile_of(folder)
        (collection,) = metafile['Collections']
        assert (ROOT / collection['README']).is_file()
        names = [model['Name'] for model in metafile['Models']]
        assert names == sorted(set(names))
        for model in metafile['Models']:
            path = ROOT / model['Config']
            assert path in LEAVES, path
            assert (path.parent, path.stem) == (folder, model['Name'])
            assert model['In Collection'] == collection['Name']
            for result in model['Results']:
                assert result['Task']
                assert result['Metrics']
                assert result['Dataset'] == model['Metadata']['Training Data']
            cfg, data = read(path), model['Metadata']
            assert data['Epochs'] == epochs_of(cfg), path
            assert re.search(rf'_1xb{data["Batch Size"]}(-|_)', path.stem)


def test_numbers_of_metafiles_stand_in_the_readmes():
    for folder in FOLDERS:
        measured = ROOT / f'docs/measurements/{folder.name}.md'
        pages = folder / 'README.md', measured
        text = '\n'.join(p.read_text(encoding='utf-8') for p in pages)
        for model in metafile_of(folder)['Models']:
            for value in model['Results'][0]['Metrics'].values():
                assert re.search(rf'(?<![\d.]){value}', text), (model, value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'logged', 'said', 'options'),
    [
        ('hgsl-k1_resnet8_1xb64-30e_digits', 'loss_hgs', 'retrieval/map_at_r',
         []),
        ('masked-feature_resnet18-c16_1xb64-15e_digits', 'loss_msk',
         'rankme/rank', ['model.teacher.begin=0']),
        ('smn_resnet18-narrow_1xb64-30e_digits', 'loss', 'accuracy/top1',
         ['param_scheduler.warmup=0', 'model.backbone.module.init_cfg=None']),
    ],
)  # fmt: skip
def test_mim_trains_and_tests(name, logged, said, options, tmp_path):
    epochs = ('train_cfg.max_epochs=1', 'train_cfg.val_interval=1')
    where = ('--work-dir', 'run', '--cfg-options', *epochs, *options)
    mim('train', 'mmpretrain', find(name), *where, cwd=tmp_path)
    assert logged in (tmp_path / 'run' / 'train_log.json').read_text()
    where = ('--checkpoint', 'run/epoch_1.pth', *where)
    assert said in mim('test', 'mmpretrain', find(name), *where, cwd=tmp_path)
