# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The recipes of Self-Masking Networks mask and train what they should."""

import copy
import re

import numpy as np
import pytest
import torch
import torchvision
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from PIL import Image

from mask_plugins.core.weights import named_masks

from .configs import image, leaves_of, load, model_of, shorten, train

STEMS = {path.stem for path in leaves_of('self_masking')}


def name_of(kind, net):
    """The recipe of a network."""
    (name,) = [s for s in STEMS if re.fullmatch(f'{kind}_{net}_1x.*e', s)]
    return name


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
    model = model_of(name_of('smn', net))
    masks = [item.mask.scores.numel() for item in named_masks(model.backbone)]
    assert (sum(masks), len(masks)) == (elements, tensors)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert all(name.endswith('_mask.scores') for name in trained)
    assert any(name.startswith('head.') for name in trained)
    # the same tensors are trained by the baseline, and no others
    masked = {item.name for item in named_masks(model.backbone)}
    tuned = model_of(name_of('finetune', net))
    assert masked == {
        n for n, p in tuned.backbone.named_parameters() if p.requires_grad
    }
    assert not list(named_masks(tuned))
    probe = model_of(name_of('linear-probe', net))
    assert {n for n, p in probe.named_parameters() if p.requires_grad} == {
        'head.fc.weight', 'head.fc.bias'
    }  # fmt: skip


def test_fused_attention_is_scaled_in_three_parts():
    model = model_of(name_of('smn', 'clip-vit-base-p32'))
    chunks = {i.name: i.mask.chunks for i in named_masks(model.backbone)}
    assert chunks['layers.3.attn.qkv.weight'] == 3
    assert chunks['layers.3.attn.qkv.bias'] == 3
    assert chunks['layers.3.attn.proj.weight'] == 1


@pytest.mark.parametrize('name', ['smn-piggyback', 'smn-swav'])
def test_rates_and_decay_by_role(name):
    """Those of the masks and of the head, where both are trained."""
    name = sorted(stem for stem in STEMS if stem.startswith(f'{name}_'))[0]
    cfg = load(name).optim_wrapper
    wrapper = build_optim_wrapper(model_of(name), cfg)
    groups = {g.get('role'): g for g in wrapper.optimizer.param_groups}
    for role in ('masks', 'head'):
        said = cfg.paramwise_cfg.get(role, {})
        for key in ('lr', 'weight_decay'):
            given = said.get(key, cfg.optimizer.get(key, 0))
            assert groups[role][key] == given, (role, key)


def test_a_tenth_of_the_labels_is_of_the_same_images():
    name = 'smn_resnet18_1xb64-150e'
    part = load(name, SMN_LABELS='10p').train_dataloader.dataset
    whole = load(name).train_dataloader.dataset
    assert (part.dataset, part.size) == (whole, '10p')


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
    path = tmp_path / 'image.png'
    pixels, sample = image(path, size)
    cfg = load('linear-probe_resnet18_1xb64-100e', SMN_DATASET=dataset)
    smn = load('smn_resnet18_1xb64-150e', SMN_DATASET=dataset)
    pipelines = [smn.train_pipeline, cfg.train_pipeline, cfg.test_pipeline]
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
PRETRAIN = 'pretrain_resnet18-narrow_1xb64-15e_digits'
DIGITS = '{}_resnet18-narrow_1xb64-30e_digits'


def small(name, folder, checkpoint=None):
    """A digits config, of fewer images."""
    cfg = shorten(load(name), folder / 'run', 200, 60)
    if 'warmup' in cfg.param_scheduler:
        cfg.param_scheduler.warmup = 1
    if checkpoint:
        cfg.model.backbone.module.init_cfg.checkpoint = str(checkpoint)
    return cfg


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pretrained')
    train(small(PRETRAIN, folder))
    return folder / 'run' / 'epoch_2.pth'


@pytest.mark.parametrize('kind', ['smn', 'finetune', 'linear-probe'])
def test_digits(kind, pretrained, tmp_path):
    """What is frozen is bit for bit what the file has, after training."""
    runner = train(small(DIGITS.format(kind), tmp_path, pretrained))
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
    moved = any(
        'running_' in key and not buffer.equal(file[key])
        for key, buffer in model.named_buffers()
    )
    assert moved == (kind != 'linear-probe')
    if kind == 'smn':
        scores = [item.mask.scores for item in named_masks(model)]
        assert all((score != 1).any() for score in scores)


def test_progressive_k_reaches_every_mask(pretrained, tmp_path):
    cfg = small(DIGITS.format('smn'), tmp_path, pretrained)
    variant = load('smn-progressive-k_resnet18_1xb64-150e')
    cfg.model.backbone.mask = variant.model.backbone.mask
    cfg.custom_hooks.append(variant.custom_hooks[-1])
    masks = list(named_masks(train(cfg).model.backbone))
    assert {item.mask.setting for item in masks} == {0.75}  # the second of two
    for item in masks:
        if item.mask.scores.numel() > 16:
            density = item.mask.hard().float().mean().item()
            assert density == pytest.approx(0.75, abs=0.02), item.name
