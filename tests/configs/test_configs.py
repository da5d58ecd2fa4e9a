# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every config resolves and builds; the recipes say what they should."""

import copy
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    DATA_SAMPLERS,
    HOOKS,
    MODELS,
    PARAM_SCHEDULERS,
    init_default_scope,
)
from mmengine.runner import Runner
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
LEAVES = sorted(
    path
    for path in CONFIGS.glob('*/*.py')
    if '_base_' not in path.relative_to(CONFIGS).parts
)
BASES = sorted((CONFIGS / '_base_').rglob('*.py'))
SIMMIM = 'pss-vit-base_simmim_{}_4xb128-100e_in1k'
DEIT = 'pss-deit-small_{}_4xb256-300e_in1k'
DEIT_384 = 'pss-deit-small_{}_4xb128-300e_in1k-384px'
CIFAR = 'pss-vit-tiny_{}_cifar10'
STEMS = {path.stem for path in LEAVES}


def identify(path):
    return path.stem


@lru_cache(maxsize=None)
def read(path):
    return Config.fromfile(str(path))


def load(name):
    return copy.deepcopy(read(CONFIGS / 'pss' / f'{name}.py'))


@lru_cache(maxsize=None)
def build(path):
    """The model, on no device: names and shapes without a second of time."""
    init_default_scope('mmpretrain')
    with torch.device('meta'):
        return MODELS.build(copy.deepcopy(read(path).model))


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpretrain')


# ------------------------------------------------------------------- all
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
        first = cfg.train_dataloader.dataset.pipeline[0]
        assert first.type == 'mask_plugins.SeedSample'
        assert cfg.train_pipeline == cfg.train_dataloader.dataset.pipeline


@pytest.mark.parametrize('path', LEAVES, ids=identify)
def test_config_builds(path):
    cfg = read(path)
    model = build(path)
    assert model.backbone.drop_ratio == 0
    hooks = [HOOKS.build(hook) for hook in copy.deepcopy(cfg.custom_hooks)]
    names = [type(hook).__name__ for hook in hooks]
    # A list of a child replaces its base's: these two must not be lost.
    assert names[:2] == ['SeedHook', 'TrainLogHook']
    assert cfg.default_hooks.checkpoint.type.endswith('SafeCheckpointHook')
    assert ('PSSHook' in names) == ('baseline' not in path.stem)
    assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes


@pytest.mark.parametrize('path', LEAVES, ids=identify)
def test_variant_differs_from_its_baseline_in_the_schedule_only(path):
    parts = path.stem.split('_')
    at = next(
        (
            i
            for i, part in enumerate(parts)
            if part.startswith(('magnitude', 'random'))
        ),
        None,
    )
    if at is None:
        return
    tail = '-no-rpb' if parts[at].endswith('-no-rpb') else ''
    scorer = parts[at].split('-')[0]
    parts[at] = f'baseline{tail}'
    cfg = copy.deepcopy(read(path))
    baseline = copy.deepcopy(read(path.with_name('_'.join(parts) + '.py')))
    hook = cfg.custom_hooks.pop()
    assert hook.type == 'mask_plugins.PSSHook'
    assert cfg.model.backbone.pop('scorer', 'magnitude') == scorer
    assert cfg.to_dict() == baseline.to_dict()
    # and the schedule is that of the name
    built = HOOKS.build(hook).schedule.resolve(300 * 900, 900)
    values = [built.value(t) for t in (0, 450, 135_000, 270_000 - 1)]
    expected = {
        'cyclic': [0.8, 0.0, 0.8, 0.8],
        'linear': [0.8, 0.8, 0.4, 0.0],
        'fixed': [0.4, 0.4, 0.4, 0.4],
    }
    kind = path.stem.split(f'{scorer}-')[1].split('-')[0]
    if hook.schedule.get('cooldown'):
        assert 'deit' in path.stem
        expected['cyclic'][-1] = 0.0
    assert values == pytest.approx(expected[kind])


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
            cfg, data = read(ROOT / model['Config']), model['Metadata']
            if 'max_epochs' in cfg.train_cfg:
                assert data['Epochs'] == cfg.train_cfg.max_epochs, model
            if 'auto_scale_lr' in cfg:
                batch = cfg.auto_scale_lr.base_batch_size
                assert data['Batch Size'] == batch, model
            listed.append(model['Name'])
        assert len(listed) == len(set(listed))
        assert set(listed) == {
            path.stem for path in LEAVES if path.parent == folder
        }
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    for entry in index['Import']:
        assert (ROOT / entry).is_file()


# --------------------------------------------------------------- recipes
def test_every_published_run_has_a_config():
    for kind in ('magnitude', 'random'):
        for schedule in ('cyclic-80-0', 'linear-80-0', 'fixed-40'):
            assert SIMMIM.format(f'{kind}-{schedule}') in STEMS
    for template in (SIMMIM, DEIT, DEIT_384, CIFAR):
        for variant in ('baseline', 'magnitude-cyclic-80-0'):
            assert template.format(variant) in STEMS
    for template in (SIMMIM, CIFAR):
        for variant in ('baseline', 'magnitude-cyclic-80-0'):
            name = template.format(f'{variant}-no-rpb')
            assert not load(name).model.backbone.use_rel_pos_bias
            # without any position the comparison would be idle
            assert load(name).model.backbone.use_abs_pos_emb


@pytest.mark.parametrize(
    ('name', 'millions'),
    [(SIMMIM, 86.5), (DEIT, 22.1), (DEIT_384, 22.4)],
)
def test_size_of_the_networks(name, millions):
    model = build(CONFIGS / 'pss' / f'{name.format("baseline")}.py')
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.2)


def groups_of(cfg, name):
    """Parameter groups by name, as the recipe's optimizer has them."""
    model = build(CONFIGS / 'pss' / f'{name}.py')
    wrapper = dict(cfg.optim_wrapper, type='OptimWrapper')  # no GPU here
    wrapper.pop('dtype', None)
    wrapper = build_optim_wrapper(model, wrapper)
    names = {id(p): name for name, p in model.named_parameters()}
    groups = {
        names[id(parameter)]: group
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    assert groups.keys() == set(names.values())
    return wrapper, groups


def test_simmim_recipe():
    name = SIMMIM.format('magnitude-cyclic-80-0')
    cfg = load(name)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=5.0)
    assert cfg.train_dataloader.batch_size * 4 == 512
    assert cfg.default_hooks.checkpoint.interval == 25
    wrapper, groups = groups_of(cfg, name)
    lr = 1.25e-3
    for key, layer in (
        ('backbone.cls_token', 0),
        ('backbone.patch_embed.projection.weight', 0),
        ('backbone.layers.0.attn.qkv.weight', 1),
        ('backbone.layers.11.gamma_1', 12),
        ('backbone.ln2.weight', 13),
        ('head.fc.weight', 13),
    ):
        assert groups[key]['lr'] == pytest.approx(lr * 0.65 ** (13 - layer))
    undecayed = {
        key for key, group in groups.items() if not group['weight_decay']
    }
    parameters = dict(build(CONFIGS / 'pss' / f'{name}.py').named_parameters())
    expected = {key for key, p in parameters.items() if p.ndim == 1}
    assert undecayed == expected | {'backbone.cls_token'}
    table = 'backbone.layers.3.attn.relative_position_bias_table'
    assert groups[table]['weight_decay'] == 0.05

    schedule = dict(cfg.param_scheduler, end=cfg.train_cfg.max_epochs)
    PARAM_SCHEDULERS.build(
        schedule, default_args=dict(optimizer=wrapper, epoch_length=2502)
    )
    assert {group['lr'] for group in groups.values()} == {2.5e-7}
    again = PARAM_SCHEDULERS.build(
        schedule,
        default_args=dict(optimizer=wrapper, epoch_length=2502),
    )
    again.last_step = 20 * 2502 - 1
    again._global_step = again.last_step
    again.step()
    cosine = 0.5 * (1 + math.cos(math.pi * 0.2))
    peak = 2.5e-7 + (lr - 2.5e-7) * cosine
    assert groups['head.fc.weight']['lr'] == pytest.approx(peak)
    deep = lr * 0.65**13
    assert groups['backbone.cls_token']['lr'] == pytest.approx(
        2.5e-7 + (deep - 2.5e-7) * cosine
    )


@pytest.mark.parametrize(
    ('template', 'lr', 'batch'),
    [(DEIT, 1e-3, 1024), (DEIT_384, 5e-4, 512)],
    ids=['224', '384'],
)
def test_deit_recipe(template, lr, batch):
    name = template.format('magnitude-cyclic-80-0')
    cfg = load(name)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(lr)
    assert cfg.train_dataloader.batch_size * 4 == batch
    assert 'clip_grad' not in cfg.optim_wrapper
    assert not cfg.param_scheduler.get('convert_to_iter_based')
    _, groups = groups_of(cfg, name)
    assert {group['lr'] for group in groups.values()} == {lr}
    for key, decay in (
        ('backbone.cls_token', 0),
        ('backbone.pos_embed', 0),
        ('backbone.layers.0.attn.q_bias', 0),
        ('backbone.layers.0.ln1.weight', 0),
        ('head.fc.bias', 0),
        ('head.fc.weight', 0.05),
        ('backbone.layers.0.attn.relative_position_bias_table', 0.05),
    ):
        assert groups[key]['weight_decay'] == decay, key
    averages = [h for h in cfg.custom_hooks if h.type == 'EMAHook']
    assert [1 - h.momentum for h in averages] == [pytest.approx(0.99996)]
    assert averages[0].evaluate_on_origin
    assert not averages[0].evaluate_on_ema
    # three repeats of each image, 1251 iterations of 4 GPUs x 256
    sampler = DATA_SAMPLERS.build(
        cfg.train_dataloader.sampler,
        default_args=dict(dataset=range(1_281_167 // 4), seed=0),
    )
    assert sampler.num_repeats == 3
    assert cfg.train_dataloader.drop_last
    images = math.ceil(1_281_167 / 4)
    assert images // cfg.train_dataloader.batch_size == 1251 * 1024 // batch


@pytest.mark.parametrize(
    ('name', 'size'),
    [(SIMMIM, 224), (DEIT, 224), (DEIT_384, 384), (CIFAR, 32)],
    ids=['simmim', 'deit', 'deit-384', 'cifar'],
)
def test_pipelines_feed_the_size_of_the_model(name, size, tmp_path):
    cfg = load(name.format('baseline'))
    pixels = np.random.default_rng(0).integers(
        0, 256, (size, size, 3) if size == 32 else (300, 420, 3), np.uint8
    )
    path = tmp_path / 'image.jpg'
    Image.fromarray(pixels).save(path)
    sample = dict(img=pixels, img_path=str(path), gt_label=1, sample_idx=0)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        packed = Compose(loader.dataset.pipeline)(dict(sample))
        assert packed['inputs'].shape == (3, size, size)
        assert packed['data_samples'].gt_label.item() == 1
    assert build(CONFIGS / 'pss' / f'{name.format("baseline")}.py').backbone


# ------------------------------------------------------------------- runs
@pytest.mark.parametrize(
    'name', [SIMMIM, DEIT, CIFAR], ids=['simmim', 'deit', 'cifar']
)
def test_reduced_recipe_trains_and_tests(name, tmp_path):
    """The recipe as it is, of a small network on the embedded images."""
    cfg = load(name.format('magnitude-cyclic-80-0'))
    data = copy.deepcopy(read(CONFIGS / '_base_/datasets/digits_bs16.py'))
    cfg.model.backbone.update(
        img_size=data.image_size,
        patch_size=data.image_size // 4,
        arch=dict(
            embed_dims=32,
            num_layers=2,
            num_heads=2,
            feedforward_channels=64,
        ),
    )
    cfg.model.backbone.pop('init_cfg', None)
    cfg.model.head.update(in_channels=32, num_classes=10)
    cfg.data_preprocessor = data.data_preprocessor
    cfg.train_dataloader.update(
        dataset=dict(data.train_dataloader.dataset, indices=192),
        batch_size=64,
        num_workers=0,
    )
    data.val_dataloader.dataset.indices = 64
    for split in ('val', 'test'):
        cfg[f'{split}_dataloader'] = data.val_dataloader
    if cfg.optim_wrapper.type == 'AmpOptimWrapper':
        cfg.optim_wrapper.type = 'OptimWrapper'
        del cfg.optim_wrapper['dtype']
    if cfg.custom_hooks[-1].schedule.get('cooldown'):
        cfg.custom_hooks[-1].schedule.cooldown = 1
    cfg.train_cfg.max_epochs = 2
    cfg.param_scheduler.warmup = 1
    cfg.work_dir = str(tmp_path)
    cfg.log_level = 'ERROR'
    runner = Runner.from_cfg(cfg)
    model = runner.model
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    runner.train()
    moved = [
        key for key, p in model.named_parameters() if not p.equal(before[key])
    ]
    assert len(moved) == len(before)
    metrics = runner.test()
    assert 0 <= metrics['accuracy/top1'] <= 100
    assert (tmp_path / 'train_log.json').stat().st_size
