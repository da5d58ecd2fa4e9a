# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The recipes of Self-Masking Networks say what they should."""

import copy
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from PIL import Image

from mask_plugins.core.weights import named_masks

from .configs import CONFIGS, LEAVES, ROOT, build, read

FOLDER = CONFIGS / 'self_masking'
CLASSES = dict(
    cifar10=10,
    cifar100=100,
    dtd=47,
    eurosat=10,
    flowers102=102,
    pets=37,
    sun397=397,
    ucf101=101,
)
NETS = ('resnet18', 'resnet50', 'clip-vit-base-p32')
KINDS = ('smn', 'finetune', 'linear-probe')
STEMS = {path.stem for path in LEAVES if path.parent == FOLDER}


def load(name):
    return copy.deepcopy(read(FOLDER / f'{name}.py'))


def model_of(name):
    return build(FOLDER / f'{name}.py')


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpretrain')


def test_every_network_and_baseline_on_every_dataset():
    for net in NETS:
        for dataset, classes in CLASSES.items():
            for kind in KINDS:
                cfg = load(f'{kind}_{net}_{dataset}')
                assert cfg.model.head.num_classes == classes
                assert cfg.data_preprocessor.num_classes == classes
                roots = {
                    cfg[f'{part}_dataloader'].dataset.data_root
                    for part in ('train', 'val', 'test')
                }
                assert roots == {cfg.data_root}


@pytest.mark.parametrize(
    ('net', 'elements', 'tensors'),
    [
        # of the authors' code, by the golden file; CLIP's fused weight and
        # bias stand for three tensors each
        ('resnet18', 11_168_704, 26),
        ('resnet50', 23_462_592, 61),
        ('clip-vit-base-p32', 85_017_600, 96),
    ],
)
def test_what_is_masked(net, elements, tensors):
    model = model_of(f'smn_{net}_cifar10')
    masks = [item.mask.scores.numel() for item in named_masks(model.backbone)]
    assert (sum(masks), len(masks)) == (elements, tensors)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert all(name.endswith('_mask.scores') for name in trained)
    assert any(name.startswith('head.') for name in trained)
    assert {item.mask.k for item in named_masks(model)} == {0.0}
    # the same tensors are trained by the baseline, and no others
    masked = {item.name for item in named_masks(model.backbone)}
    tuned = model_of(f'finetune_{net}_cifar10')
    assert masked == {
        n for n, p in tuned.backbone.named_parameters() if p.requires_grad
    }
    assert not list(named_masks(tuned))
    probe = model_of(f'linear-probe_{net}_cifar10')
    assert {n for n, p in probe.named_parameters() if p.requires_grad} == {
        'head.fc.weight', 'head.fc.bias'
    }  # fmt: skip


def test_fused_attention_is_scaled_in_three_parts():
    model = model_of('smn_clip-vit-base-p32_1xb64-32e')
    chunks = {i.name: i.mask.chunks for i in named_masks(model.backbone)}
    assert chunks['layers.3.attn.qkv.weight'] == 3
    assert chunks['layers.3.attn.qkv.bias'] == 3
    assert chunks['layers.3.attn.proj.weight'] == 1


def groups_of(name):
    cfg = load(name)
    wrapper = build_optim_wrapper(model_of(name), cfg.optim_wrapper)
    return {
        group.get('role', 'all'): group
        for group in wrapper.optimizer.param_groups
    }


def test_hyperparameters():
    """The table of the paper's code."""
    for net, lr, epochs, warmup in (
        ('resnet18', 50.0, 150, 40),
        ('resnet50', 50.0, 150, 40),
        ('clip-vit-base-p32', 10.0, 32, 0),
    ):
        cfg = load(f'smn_{net}_dtd')
        group = groups_of(f'smn_{net}_dtd')['masks']
        assert (group['lr'], group['momentum']) == (lr, 0.9)
        assert group['weight_decay'] == 0
        assert cfg.train_cfg.max_epochs == epochs
        assert cfg.param_scheduler.get('warmup', 0) == warmup
        assert cfg.train_dataloader.batch_size == 64
        assert cfg.train_dataloader.dataset.split == 'trainval'
        assert cfg.test_dataloader.dataset.split == 'test'
    for net, lr, decay in (('resnet18', 1e-3, 5e-4), ('resnet50', 0.15, 1e-6)):
        group = groups_of(f'finetune_{net}_dtd')['all']
        assert (group['lr'], group['weight_decay']) == (lr, decay)
    group = groups_of('finetune_clip-vit-base-p32_1xb64-32e')['all']
    assert group['betas'] == (0.9, 0.98)
    assert (group['lr'], group['eps']) == (5e-4, 1e-6)
    assert group['weight_decay'] == 0.2
    head = groups_of('smn-linear-head_resnet50_1xb64-150e')['head']
    assert (head['lr'], head['weight_decay']) == (7e-4, 1e-4)


def test_variants():
    subset = load('smn_resnet18_1xb64-150e_10p').train_dataloader.dataset
    assert (subset.size, subset.seed) == ('10p', 42)
    assert (
        subset.dataset
        == load('smn_resnet18_1xb64-150e').train_dataloader['dataset']
    )
    masks = {
        name: [i.mask for i in named_masks(model_of(f'smn_resnet18_{name}'))]
        for name in ('cifar10_piggyback', 'cifar10_edge-popup', 'cifar10_topk')
    }
    for mask in masks['cifar10_piggyback']:
        assert (mask.k, mask.scale, mask.criterion) == (
            5e-3, False, 'threshold'
        )  # fmt: skip
    for mask in masks['cifar10_edge-popup']:
        assert (mask.k, mask.criterion) == (0.5, 'topk')
    assert {m.k for m in masks['cifar10_topk']} == {0.914, 0.0}
    groups = groups_of('smn-edge-popup_resnet18_1xb64-150e')
    assert groups['masks']['weight_decay'] == 1e-4
    groups = groups_of('smn-piggyback_resnet18_1xb64-150e')
    assert (groups['masks']['lr'], groups['head']['lr']) == (1e-4, 1e-3)


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_files_of_torchvision_and_swav_load(prefix, tmp_path):
    """Their names are mmpretrain's; SwAV's have ``module.`` before them."""
    torch.manual_seed(0)
    stock = torchvision.models.resnet18().state_dict()
    file = {prefix + key: value for key, value in stock.items()}
    torch.save(file, tmp_path / 'file.pth')
    cfg = load('smn_resnet18_1xb64-150e')
    cfg.model.backbone.module.init_cfg.checkpoint = str(tmp_path / 'file.pth')
    model = MODELS.build(cfg.model)
    model.init_weights()
    state = model.backbone.state_dict()
    masks = {key for key in state if '_mask.' in key}
    assert state.keys() - masks == {k for k in stock if 'fc.' not in k}
    assert all(state[key].equal(stock[key]) for key in state.keys() - masks)


@pytest.mark.parametrize('dataset', ['cifar10', 'dtd'])
def test_pipelines(dataset, tmp_path):
    size = (32, 32) if dataset == 'cifar10' else (300, 420)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    path = tmp_path / 'image.png'
    Image.fromarray(pixels).save(path)
    sample = dict(img=pixels, img_path=str(path), gt_label=1, sample_idx=0)
    cfg = load(f'linear-probe_resnet18_{dataset}')
    pipelines = [
        load(f'smn_resnet18_{dataset}').train_pipeline,
        cfg.train_pipeline,
        cfg.test_pipeline,
    ]
    packed = [Compose(p)(copy.deepcopy(sample)) for p in pipelines]
    assert all(p['inputs'].shape == (3, 224, 224) for p in packed)
    # from the first to the last step an image keeps its order of colors
    color = np.zeros_like(pixels) + np.uint8([10, 120, 240])
    Image.fromarray(color).save(path)
    order = [10, 120, 240] if dataset == 'cifar10' else [240, 120, 10]
    plain = Compose(cfg.test_pipeline)(dict(sample, img=color))['inputs']
    assert plain[:, 0, 0].tolist() == order
    assert cfg.data_preprocessor.to_rgb == (dataset != 'cifar10')
    # what a probe learns from is what it is tested on
    assert packed[1]['inputs'].equal(packed[2]['inputs'])


# ------------------------------------------------------------------- runs
def small(name, folder, epochs=2):
    """A digits config, on fewer images."""
    cfg = load(name)
    cfg.train_dataloader.dataset.dataset.indices = 200
    for part in ('val', 'test'):
        cfg[f'{part}_dataloader'].dataset.dataset.indices = 60
    cfg.train_cfg.max_epochs = epochs
    if 'warmup' in cfg.param_scheduler:
        cfg.param_scheduler.warmup = 1
    cfg.work_dir = str(folder / name)
    cfg.log_level = 'ERROR'
    return cfg


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory):
    init_default_scope('mmpretrain')
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp('pretrained')
    runner = Runner.from_cfg(
        small('pretrain_resnet18-narrow_1xb64-15e_digits', folder)
    )
    runner.train()
    return folder / 'pretrain_resnet18-narrow_1xb64-15e_digits' / 'epoch_2.pth'


@pytest.mark.parametrize('kind', KINDS)
def test_digits(kind, pretrained, tmp_path):
    """What is frozen is bit for bit what the file has, after training."""
    cfg = small(f'{kind}_resnet18_digits', tmp_path)
    cfg.model.backbone.module.init_cfg.checkpoint = str(pretrained)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert 0 <= runner.test()['accuracy/top1'] <= 100
    file = torch.load(pretrained, weights_only=True)['state_dict']
    model = runner.model
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    for name, parameter in model.named_parameters():
        if name in trained or name not in file or 'head' in name:
            continue
        assert parameter.equal(file[name]), name
    for name in trained - {'head.fc.weight', 'head.fc.bias'}:
        if name in file:
            assert not model.get_parameter(name).equal(file[name]), name
    moved = [
        key
        for key, buffer in model.named_buffers()
        if 'running_' in key and not buffer.equal(file[key])
    ]
    assert bool(moved) == (kind != 'linear-probe')
    if kind == 'smn':
        scores = [item.mask.scores for item in named_masks(model)]
        assert all((score != 1).any() for score in scores)


def test_progressive_k_reaches_every_mask(pretrained, tmp_path):
    cfg = small('smn_resnet18-narrow_1xb64-30e_digits', tmp_path)
    cfg.model.backbone.module.init_cfg.checkpoint = str(pretrained)
    cfg.model.backbone.mask.update(criterion='topk', k=1.0, init='kaiming')
    hook = load('smn-progressive-k_resnet18_1xb64-150e').custom_hooks[-1]
    cfg.custom_hooks.append(hook)
    runner = Runner.from_cfg(cfg)
    runner.train()
    masks = list(named_masks(runner.model.backbone))
    assert {item.mask.k for item in masks} == {0.75}  # the second of two
    weights = [i for i in masks if i.mask.scores.numel() > 16]
    for item in weights:
        density = item.mask.hard().float().mean().item()
        assert density == pytest.approx(0.75, abs=0.02), item.name


@pytest.mark.slow
def test_mim_trains_and_tests(pretrained, tmp_path):
    cfg = small('smn_resnet18-narrow_1xb64-30e_digits', tmp_path, epochs=1)
    cfg.model.backbone.module.init_cfg.checkpoint = str(pretrained)
    cfg.param_scheduler.warmup = 0
    Config.dump(cfg, tmp_path / 'cfg.py')
    work_dir = tmp_path / 'run'

    def mim(*args):
        run = subprocess.run(
            [sys.executable, '-m', 'mim', *args, '--work-dir', str(work_dir)],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr

    mim('train', 'mmpretrain', 'cfg.py')
    checkpoint = str(work_dir / 'epoch_1.pth')
    mim('test', 'mmpretrain', 'cfg.py', '--checkpoint', checkpoint)


def environment():
    return dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
