# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The recipes of HGSL say what they should, and run."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mask_plugins.core.weights import mask_report

from .configs import CONFIGS, LEAVES, ROOT, build, read

FOLDER = CONFIGS / 'hgsl'
STEMS = sorted(path.stem for path in LEAVES if path.parent == FOLDER)
CLASSES = dict(cub=100, cars=98, aircraft=50, flowers=51)
WIDTHS = {'resnet50': 4096, 'resnet101': 4096, 'vgg16': 1024, 'vit-base': 768}
METHODS = (
    'hgsl-k1', 'hgsl-k4', 'hgsl-all', 'softmax', 'proxynca', 'proxyanchor',
    'arcface', 'triplet',
)  # fmt: skip
COMPOSED = ('cs-resnet8', 'smn-resnet8', 'pss-vit-tiny',
            'masked-feature_resnet8')  # fmt: skip


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpretrain')


def load(name):
    return copy.deepcopy(read(FOLDER / f'{name}.py'))


@pytest.mark.parametrize('dataset', CLASSES)
def test_four_datasets_and_their_baselines(dataset):
    count = CLASSES[dataset]
    for net, width in WIDTHS.items():
        cfg = load(f'hgsl_{net}_{dataset}')
        head = build(FOLDER / f'hgsl_{net}_{dataset}.py').head
        assert head.weight.shape == (count, width)
        assert head.top_k == 1
        assert cfg.train_dataloader.batch_size == 84
        assert cfg.optim_wrapper.optimizer.lr == 0.005
        assert cfg.data_preprocessor.num_classes == count
        size = 224 if net == 'vit-base' else 280
        for part in ('train', 'val', 'test'):
            split = cfg[f'{part}_dataloader'].dataset
            assert split.part == ('train' if part == 'train' else 'test')
            for inner in split.dataset:
                crops = [
                    step.crop_size
                    for step in inner.pipeline
                    if 'Crop' in step.type
                ]
                assert crops == [size]
    for method in ('softmax', 'proxynca', 'arcface'):
        if method == 'proxynca':
            pytest.importorskip('pytorch_metric_learning')
        cfg = load(f'{method}_resnet50_{dataset}')
        ours = load(f'hgsl_resnet50_{dataset}')
        assert cfg.model.backbone == ours.model.backbone
        assert cfg.train_dataloader == ours.train_dataloader
        assert cfg.optim_wrapper.optimizer == ours.optim_wrapper.optimizer


def test_output_stride_is_16():
    model = build(FOLDER / 'hgsl_resnet50_1xb84-100e.py')
    assert model.backbone.layer4[0].downsample[0].stride == (1, 1)
    with torch.device('meta'):
        (feature,) = model.backbone(torch.empty(1, 3, 280, 280))
    assert feature.shape == (1, 2048, 18, 18)


def test_alpha_has_its_own_rate():
    cfg = load('hgsl_resnet50_1xb84-100e')
    model = build(FOLDER / 'hgsl_resnet50_1xb84-100e.py')
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    rates = {
        id(p): group['lr']
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    assert rates[id(model.head.alpha)] == pytest.approx(1e-5)
    assert rates[id(model.head.weight)] == 0.005
    hooks = [hook.type for hook in cfg.custom_hooks]
    assert hooks[-1] == 'mask_plugins.ClipExemptHook'
    parity = [hook.type for hook in load('hgsl-parity_resnet50_1xb84-100e')
              .custom_hooks]  # fmt: skip
    assert 'mask_plugins.ClipExemptHook' not in parity


def test_holdout_does_not_look_at_the_test_classes():
    cfg = load('hgsl-holdout_resnet50_1xb84-100e')
    ranges = [
        tuple(cfg[f'{part}_dataloader'].dataset.classes)
        for part in ('train', 'val', 'test')
    ]
    assert ranges == [(0, 80), (80, 100), (100, 200)]


# -------------------------------------------------------------------- runs
def small(name, folder):
    """Two epochs of two iterations, if it is about digits."""
    cfg = load(name)
    cfg.train_dataloader.batch_size = 20
    for part in ('train', 'val', 'test'):
        for inner in cfg[f'{part}_dataloader'].dataset.dataset:
            inner.indices = 50
    cfg.train_cfg.update(max_epochs=2, val_interval=2)
    cfg.work_dir = str(folder / name)
    cfg.log_level = 'ERROR'
    return cfg


def measured(cfg):
    torch.set_num_threads(1)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner, runner.test()


@pytest.mark.parametrize('method', ['hgsl-k4', 'arcface', 'triplet'])
def test_methods_run_on_digits(method, tmp_path):
    if method.startswith('pro') or method == 'triplet':
        pytest.importorskip('pytorch_metric_learning')
    _, found = measured(small(f'{method}_resnet8_digits', tmp_path))
    assert found['retrieval/queries'] > 40
    assert 0 < found['retrieval/map_at_r'] <= 100


@pytest.mark.parametrize('family', COMPOSED)
def test_masks_of_every_family(family, tmp_path):
    cfg = small(f'hgsl_{family}_digits', tmp_path)
    if family.startswith('cs'):
        hook = cfg.default_hooks.sparsification
        hook.update(epochs_per_round=1, ticket_epochs=1, rewind_epoch=0)
        cfg.param_scheduler.update(stage_epochs=1, milestones=[])
    if family.startswith('smn'):
        cfg.model.backbone.module.init_cfg = None
    if family.startswith('pss'):
        cfg.param_scheduler.warmup = 0
        cfg.model.backbone.arch.num_layers = 1
    if family.startswith('masked'):
        cfg.model.teacher.begin = 1
    runner, found = measured(cfg)
    assert 0 < found['retrieval/recall@8'] <= 100
    if family.startswith(('cs', 'smn')):
        assert 0 < mask_report(runner.model).density <= 1
    if family.startswith('pss'):
        assert runner.model.backbone.drop_ratio > 0  # the schedule's last


def test_the_retriever_measures_the_same(tmp_path):
    """mmpretrain's door and ours, over the same weights."""
    cfg = small('hgsl-k1_resnet8_1xb64-30e_digits', tmp_path)
    runner, found = measured(cfg)
    recipe = load('hgsl-retriever_resnet50_1xb84-100e')
    model = cfg.model
    cfg.model = recipe.model
    cfg.model.update(
        image_encoder=[model.backbone, model.neck], head=model.head
    )
    for part in ('val', 'test'):
        cfg[f'{part}_dataloader'].dataset.gt = 'indices'
    cfg.model.prototype = copy.deepcopy(cfg.test_dataloader)
    cfg.experiment_name = 'retriever'
    other = Runner.from_cfg(cfg)
    state = {
        key.replace('backbone.', 'image_encoder.0.'): value
        for key, value in runner.model.state_dict().items()
    }
    assert set(state) == set(other.model.state_dict())
    other.model.load_state_dict(state)
    again = other.test()
    for key, value in found.items():
        if key.startswith('retrieval'):
            assert again[key] == pytest.approx(value, abs=0.1), key


@pytest.mark.slow
def test_mim_trains_and_tests(tmp_path):
    cfg = small('hgsl-k1_resnet8_1xb64-30e_digits', tmp_path)
    Config.dump(cfg, tmp_path / 'cfg.py')
    work_dir = tmp_path / 'run'

    def mim(*args):
        run = subprocess.run(
            [sys.executable, '-m', 'mim', *args, '--work-dir', str(work_dir)],
            cwd=tmp_path,
            env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1'),
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr

    mim('train', 'mmpretrain', 'cfg.py', '--cfg-options', 'log_level=INFO')
    checkpoint = str(work_dir / 'epoch_2.pth')
    said = mim(
        'test', 'mmpretrain', 'cfg.py', '--checkpoint', checkpoint,
        '--cfg-options', 'log_level=INFO',
    )  # fmt: skip
    assert 'retrieval/recall@1' in said
    assert 'retrieval/map_at_r' in said
