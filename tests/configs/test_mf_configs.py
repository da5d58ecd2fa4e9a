# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The recipes of masked features say what they should."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mask_plugins.models.heads import MaskedFeatureHead
from mask_plugins.models.teachers import (
    EMATeacher,
    EnsembleTeacher,
    SnapshotTeacher,
)

from .configs import CONFIGS, LEAVES, ROOT, build, identify, read

FOLDER = CONFIGS / 'masked_feature'
MF = [
    path
    for path in LEAVES
    if path.parent == FOLDER and not path.stem.startswith('continual')
]
STEMS = {path.stem for path in MF}
# Where mim gridsearch and array jobs set them.
PATHS = {
    'masked-feature': {
        'model.head.mask_ratio': float,
        'model.head.mask_mode': str,
        'model.head.inv_mode': str,
        'model.head.loss_weight': float,
        'model.head.mask_multi': int,
        'model.scope': str,
    },
    'self-kd': {'model.loss_weight': float, 'model.teacher.begin': int},
    'kd-ema': {
        'model.loss_weight': float,
        'model.teacher.momentum': float,
        'model.teacher.mode': str,
    },
    'masked-feature-ema': {
        'model.teacher.momentum': float,
        'model.teacher.mode': str,
    },
}
TEACHERS = {
    'self-kd': SnapshotTeacher,
    'kd-ema': EMATeacher,
    'masked-feature': SnapshotTeacher,
    'masked-feature-ema': EMATeacher,
    'ensemble': EnsembleTeacher,
}


def load(name):
    return copy.deepcopy(read(FOLDER / f'{name}.py'))


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpretrain')


def method(path):
    return path.stem.split('_')[0]


def plain(path):
    return method(path).replace('-head', '').replace('-l2', '')


@pytest.mark.parametrize('path', MF, ids=identify)
def test_models(path):
    cfg, model = read(path), build(path)
    teacher = TEACHERS.get(plain(path))
    names = [hook.type for hook in cfg.custom_hooks]
    assert names.count('mask_plugins.FeatureHook') == 1  # for RankMe
    assert ('mask_plugins.TeacherHook' in names) == bool(teacher)
    assert isinstance(model.head, MaskedFeatureHead) == method(
        path
    ).startswith('masked-feature')
    if teacher:
        assert type(model.teacher) is teacher
        assert model.scope == ('head' if '-head' in path.stem else 'whole')
        assert 0 <= model.teacher.begin < cfg.train_cfg.max_epochs
    size = 8 if 'digits' in path.stem else 32
    images = torch.zeros(2, 3, size, size, device='meta')
    model.eval()
    assert model.head(model.extract_feat(images)).shape == (2, 10)


@pytest.mark.parametrize('path', MF, ids=identify)
def test_what_a_sweep_sets_is_a_scalar(path):
    cfg = read(path)
    for name, paths in PATHS.items():
        if name not in (plain(path), plain(path).replace('-ema', '')):
            continue
        for key, kind in paths.items():
            value = cfg
            for part in key.split('.'):
                value = value[part]
            assert type(value) is kind, key


def test_every_method_has_a_digits_variant():
    for name in STEMS:
        if name.endswith('c40_cifar10') and 'member' not in name:
            assert name.replace('c40_cifar10', 'c16_digits') in STEMS
    assert 'masked-feature_resnet18-c16_1xb64-15e_digits' in STEMS


@pytest.mark.parametrize(
    ('name', 'epochs', 'milestones'),
    [
        ('ce_resnet18-c40_1xb128-50e_cifar10', 50, [25, 35]),
        ('ce_resnet18-c40_1xb128-70e_cifar10', 70, [35, 50]),
        ('ce_resnet18-c40_1xb128-200e_cifar10', 200, [100, 150]),
        ('self-kd_resnet18-c40_1xb128-50e_cifar10', 50, [25, 35]),
        ('masked-feature_resnet18-c40_1xb128-50e_cifar10', 50, [25, 35]),
        ('ensemble_resnet18-c40_1xb128-50e_cifar10', 50, [25, 35, 45]),
    ],
)
def test_recipes_of_the_original(name, epochs, milestones):
    cfg = load(name)
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.train_cfg.val_interval == 5
    assert cfg.param_scheduler.milestones == milestones
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.momentum) == (0.1, 0.9)
    assert optimizer.weight_decay == 1e-4
    assert cfg.train_dataloader.batch_size == 128
    assert cfg.model.backbone.base_channels == 40
    student = [
        parameter
        for key, parameter in build(FOLDER / f'{name}.py').named_parameters()
        if not key.startswith('teacher.')
    ]
    count = sum(parameter.numel() for parameter in student)
    assert count / 1e6 == pytest.approx(4.38, abs=0.01)


def small(name, folder):
    """A digits config of two short epochs, the second with the teacher."""
    cfg = load(name)
    cfg.train_dataloader.dataset.indices = 128
    for part in ('val', 'test'):
        cfg[f'{part}_dataloader'].dataset.indices = 64
    cfg.train_cfg.max_epochs = 2
    if 'teacher' in cfg.model:
        cfg.model.teacher.begin = 1
    cfg.work_dir = str(folder / name)
    cfg.log_level = 'ERROR'
    return cfg


@pytest.mark.parametrize('kind', ['masked-feature', 'kd-ema-head'])
def test_digits_train(kind, tmp_path):
    cfg = small(f'{kind}_resnet18-c16_digits', tmp_path)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.model.teacher.active
    metrics = runner.test()
    assert metrics['rankme/samples'] == 64
    assert metrics['rankme/dims'] == 128
    assert 1 <= metrics['rankme/rank'] <= 64


@pytest.mark.slow
def test_mim_trains_what_the_issue_names(tmp_path):
    work_dir = tmp_path / 'run'
    run = subprocess.run(
        [
            sys.executable, '-m', 'mim', 'train', 'mmpretrain',
            str(FOLDER / 'masked-feature_resnet18-c16_1xb64-15e_digits.py'),
            '--work-dir', str(work_dir), '--cfg-options',
            'train_cfg.max_epochs=2', 'model.teacher.begin=1',
            'train_dataloader.dataset.indices=128',
        ],
        env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert 'loss_msk' in (work_dir / 'train_log.json').read_text()
