# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the READMEs of the weight masks tell to paste has its effect."""

import re

import pytest
from mmengine.config import Config

from mask_plugins.core.weights import named_masks
from mask_plugins.registry import MODELS

from .configs import CONFIGS, load, shorten, train


def pasted(folder, number=0):
    """The config snippet of a README, on the digits and a small network."""
    text = (CONFIGS / folder / 'README.md').read_text(encoding='utf-8')
    snippet = re.findall(r'```python\n(.*?)```', text, re.S)[number]
    return Config.fromstring(snippet, '.py')


def trained(snippet, base, tmp_path):
    """Masks of the model after two epochs of a few iterations."""
    cfg = load(base)
    for key in ('optim_wrapper', 'param_scheduler', 'model'):
        cfg[key] = snippet[key]
    cfg.default_hooks.update(snippet.get('default_hooks', {}))
    runner = train(shorten(cfg, tmp_path, 640, 64))
    return list(named_masks(runner.model))


def classifier(model):
    """The model of a snippet, complete as in a config of mmpretrain."""
    model.type = 'ImageClassifier'
    model.neck = dict(type='GlobalAveragePooling')
    return model


@pytest.mark.parametrize('paste_optimizer', [True, False])
def test_self_masking(paste_optimizer, tmp_path):
    base = 'dense_resnet20_1xb64-10e_digits'
    snippet = pasted('self_masking')
    module = dict(
        type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8
    )
    classifier(snippet.model).backbone.module = module
    snippet.model.head.in_channels = 64
    snippet.param_scheduler.warmup = 0
    if not paste_optimizer:  # that of a stock config moves no mask
        stock = load(base)
        snippet.optim_wrapper = stock.optim_wrapper
        snippet.param_scheduler = stock.param_scheduler
    masks = [item.mask for item in trained(snippet, base, tmp_path)]
    off = sum(int((~mask.hard().bool()).sum()) for mask in masks)
    assert (off > 100) == paste_optimizer


def test_continuous_sparsification(tmp_path):
    snippet = pasted('continuous_sparsification')
    backbone = classifier(snippet.model).backbone
    backbone.update(type='mask_plugins.CIFARResNet', depth=8)
    base = load('dense_resnet20_1xb64-10e_digits')
    snippet.model.head = base.model.head
    hook = snippet.default_hooks.sparsification
    assert hook.rounds * hook.epochs_per_round + hook.ticket_epochs == (
        snippet.train_cfg.max_epochs
    )
    hook.update(rounds=1, epochs_per_round=1, ticket_epochs=1, rewind_epoch=0)
    snippet.param_scheduler.update(stage_epochs=1, milestones=[])
    masks = trained(snippet, 'dense_resnet20_1xb64-10e_digits', tmp_path)
    assert masks
    for item in masks:
        assert item.mask.ticket
        assert item.mask.logits.any(), item.name  # they have left their start


def test_soft_masks_of_a_transformer_leave_the_norms_alone():
    backbone = pasted('continuous_sparsification', 1).model.backbone
    backbone.module.arch = 'deit-tiny'
    masks = list(named_masks(MODELS.build(backbone)))
    assert len(masks) == 4 * 12
    assert not [item.name for item in masks if '.ln' in item.name]
