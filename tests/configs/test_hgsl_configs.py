# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The recipes of HGSL say what they should, and run."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

from mask_plugins.core.weights import mask_report

from .configs import load, model_of, shorten, train

RESNET50 = '{}_resnet50_1xb84-100e'
DIGITS = '{}_resnet8_1xb64-30e_digits'


@pytest.mark.parametrize(
    ('net', 'width'),
    [('resnet50', 4096), ('resnet101', 4096), ('vgg16', 1024),
     ('vit-base', 768)],
)  # fmt: skip
def test_networks(net, width):
    name = f'hgsl_{net}_1xb84-100e'
    cfg, head = load(name, HGSL_DATASET='cars'), model_of(name).head
    assert head.weight.shape == (100, width)
    assert head.top_k == 1
    size = 224 if net == 'vit-base' else 280
    for part in ('train', 'val', 'test'):
        split = cfg[f'{part}_dataloader'].dataset
        assert split.part == ('train' if part == 'train' else 'test')
        for inner in split.dataset:
            assert inner.type == 'StanfordCars'
            (crop,) = [s for s in inner.pipeline if 'Crop' in s.type]
            assert crop.crop_size == size


@pytest.mark.parametrize('method', ['softmax', 'proxynca', 'arcface'])
def test_baselines_differ_in_the_loss_only(method):
    baseline, ours = (load(RESNET50.format(m)) for m in (method, 'hgsl'))
    assert baseline.custom_hooks == ours.custom_hooks[:-1]
    for cfg in (baseline, ours):
        for key in ('work_dir', 'custom_hooks'):
            cfg.pop(key)
        cfg.model.pop('head')
        cfg.optim_wrapper.pop('paramwise_cfg')
    assert baseline.to_dict() == ours.to_dict()


def test_output_stride_is_16():
    model = model_of(RESNET50.format('hgsl'))
    assert model.backbone.layer4[0].downsample[0].stride == (1, 1)
    with torch.device('meta'):
        (feature,) = model.backbone(torch.empty(1, 3, 280, 280))
    assert feature.shape == (1, 2048, 18, 18)


def test_alpha_has_its_own_rate():
    name = RESNET50.format('hgsl')
    cfg, model = load(name), model_of(name)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = {id(g['params'][0]): g for g in wrapper.optimizer.param_groups}
    rate = groups[id(model.head.alpha)]['lr']
    assert rate < groups[id(model.head.weight)]['lr']
    exempt = 'mask_plugins.ClipExemptHook'
    assert cfg.custom_hooks[-1].type == exempt
    parity = load(RESNET50.format('hgsl-parity')).custom_hooks
    assert exempt not in [hook.type for hook in parity]


@pytest.mark.parametrize(
    ('dataset', 'expected'),
    [('cub', [(0, 80), (80, 100), (100, 200)]),
     ('flowers', [(0, 40), (40, 51), (51, 102)])],
)  # fmt: skip
def test_holdout_does_not_look_at_the_test_classes(dataset, expected):
    cfg = load(RESNET50.format('hgsl-holdout'), HGSL_DATASET=dataset)
    for part, classes in zip(('train', 'val', 'test'), expected):
        assert tuple(cfg[f'{part}_dataloader'].dataset.classes) == classes


# -------------------------------------------------------------------- runs
def small(name, folder):
    """Two epochs of two iterations, of a config of digits."""
    cfg = shorten(load(name), folder / 'run', 50, 50)
    cfg.train_dataloader.batch_size = 20
    cfg.train_cfg.val_interval = 2
    return cfg


@pytest.mark.parametrize('method', ['hgsl-k4', 'arcface', 'triplet'])
def test_methods_run_on_digits(method, tmp_path):
    if method == 'triplet':
        pytest.importorskip('pytorch_metric_learning')
    found = train(small(DIGITS.format(method), tmp_path)).test()
    assert found['retrieval/queries'] > 40
    assert 0 < found['retrieval/map_at_r'] <= 100


@pytest.mark.parametrize(
    'family',
    ['cs_resnet8_1xb64-2x15e', 'smn_resnet8_1xb64-30e',
     'pss_vit-tiny_1xb16-30e', 'masked-feature_resnet8_1xb64-30e'],
)  # fmt: skip
def test_masks_of_every_family(family, tmp_path):
    cfg = small(f'hgsl-{family}_digits', tmp_path)
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
    runner = train(cfg)
    assert 0 < runner.test()['retrieval/recall@8'] <= 100
    if family.startswith(('cs', 'smn')):
        assert 0 < mask_report(runner.model).density <= 1
    if family.startswith('pss'):
        assert runner.model.backbone.drop_ratio > 0  # the schedule's last


def test_the_retriever_measures_the_same(tmp_path):
    """mmpretrain's door and ours, over the same weights."""
    cfg = small(DIGITS.format('hgsl-k1'), tmp_path)
    runner = train(cfg)
    found, model = runner.test(), cfg.model
    cfg.model = load(RESNET50.format('hgsl-retriever')).model
    encoder = [model.backbone, model.neck]
    cfg.model.update(image_encoder=encoder, head=model.head)
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
