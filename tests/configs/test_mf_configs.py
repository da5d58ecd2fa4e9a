# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The recipes of masked features say what they should."""

import functools

import pytest
import torch

from mask_plugins.models.heads import MaskedFeatureHead
from mask_plugins.models.teachers import (
    EMATeacher,
    EnsembleTeacher,
    SnapshotTeacher,
)

from .configs import (
    build,
    identify,
    leaves_of,
    model_of,
    read,
)

MF = [p for p in leaves_of('masked_feature') if 'continual' not in p.stem]
AVERAGE = {'model.teacher.momentum': float, 'model.teacher.mode': str}
MASKED = {
    'model.head.mask_ratio': float,
    'model.head.mask_mode': str,
    'model.head.inv_mode': str,
    'model.head.loss_weight': float,
    'model.head.mask_multi': int,
    'model.scope': str,
}
# The teacher, and what mim gridsearch and array jobs set: its type stays that
# of the value in the config.
WEIGHT = {'model.loss_weight': float}
METHODS = {
    'self-kd': (SnapshotTeacher, {'model.teacher.begin': int, **WEIGHT}),
    'kd-ema': (EMATeacher, {**WEIGHT, **AVERAGE}),
    'masked-feature': (SnapshotTeacher, MASKED),
    'masked-feature-ema': (EMATeacher, {**MASKED, **AVERAGE}),
    'ensemble': (EnsembleTeacher, {}),
}


@pytest.mark.parametrize('path', MF, ids=identify)
def test_models(path):
    cfg, model = read(path), build(path)
    method = path.stem.split('_')[0]
    plain = method.replace('-head', '').replace('-l2', '')
    teacher, swept = METHODS.get(plain, (None, {}))
    names = [hook.type for hook in cfg.custom_hooks]
    assert names.count('mask_plugins.FeatureHook') == 1  # for RankMe
    assert ('mask_plugins.TeacherHook' in names) == bool(teacher)
    masked = method.startswith('masked-feature')
    assert isinstance(model.head, MaskedFeatureHead) == masked
    if teacher:
        assert type(model.teacher) is teacher
        assert model.scope == ('head' if '-head' in method else 'whole')
        assert 0 <= model.teacher.begin < cfg.train_cfg.max_epochs
    for key, kind in swept.items():
        value = functools.reduce(lambda c, part: c[part], key.split('.'), cfg)
        assert type(value) is kind, key
    size = 8 if 'digits' in path.stem else 32
    images = torch.zeros(2, 3, size, size, device='meta')
    model.eval()
    assert model.head(model.extract_feat(images)).shape == (2, 10)


def test_every_method_has_a_digits_variant():
    stems = {path.stem for path in MF}
    for stem in stems:
        method, net, *_ = stem.split('_')
        if net.startswith('resnet18-c40') and 'member' not in method:
            variant = f'{method}_{net.replace("c40", "c16")}'
            assert f'{variant}_1xb64-15e_digits' in stems


@pytest.mark.parametrize('method', ['ce', 'self-kd', 'masked-feature'])
def test_the_student_is_the_network_of_the_original(method):
    model = model_of(f'{method}_resnet18-c40_1xb128-50e_cifar10')
    count = sum(
        parameter.numel()
        for key, parameter in model.named_parameters()
        if not key.startswith('teacher.')
    )
    assert count / 1e6 == pytest.approx(4.38, abs=0.01)
