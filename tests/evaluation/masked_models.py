# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tiny masked classifiers of the digits, with checkpoints of them."""

from typing import NamedTuple

import torch
from mmengine.config import Config

from mask_plugins.apis.model import build_model
from mask_plugins.core.weights import named_masks

from .models import RESNET, write_model

STOCK = """
_base_ = 'tiny.py'
"""
SOFT = """
_base_ = 'tiny.py'
model = dict(
    backbone=dict(
        conv_cfg=dict(type='mask_plugins.SoftMaskConv2d', mask_init=-0.1)
    )
)
default_hooks = dict(
    checkpoint=dict(type='mask_plugins.SafeCheckpointHook', interval=1),
    sparsification=dict(type='mask_plugins.ContinuousSparsificationHook'),
)
custom_hooks = [dict(type='mask_plugins.MaskReportHook')]
"""
BACKBONE = """
_base_ = 'tiny.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mask_plugins.MaskedModel',
        module=dict({backbone}),
        rules=[('*conv*.weight', 'mask'), ('*', 'freeze')],
        mask=dict(type='mask_plugins.ScoreMask', init='normal', threshold=0.0),
    )
)
test_evaluator = [
    dict(type='Accuracy'),
    dict(type='mask_plugins.MaskDensity'),
]
custom_hooks = [dict(type='mask_plugins.MaskReportHook')]
"""
WHOLE = """
_base_ = 'tiny.py'
model = dict(
    _delete_=True,
    type='mask_plugins.MaskedModel',
    module={{{{_base_.model}}}},
    rules=[
        ('backbone.*conv*.weight', 'mask'),
        ('head.*', 'train'),
        ('*', 'freeze'),
    ],
    mask=dict(type='mask_plugins.ScoreMask', {options}),
)
"""
# The frozen weights of these heads are in no base.
HEAD = BACKBONE.replace(
    'test_evaluator',
    "model['head'] = dict(_delete_=True, {head})\ntest_evaluator",
)
_backbone = ', '.join(f'{key}={value!r}' for key, value in RESNET.items())


def _head(kind, options=''):
    """Masked backbone and head."""
    head = (
        f"type='mask_plugins.{kind}', num_classes=10, in_channels=8, {options}"
    )
    return HEAD.format(backbone=_backbone, head=head)


CONFIGS = dict(
    soft=SOFT,
    backbone=BACKBONE.format(backbone=_backbone),
    whole=WHOLE.format(options=''),
    flip=WHOLE.format(options="criterion='flip', scale=False"),
    head=_head('MaskedLinearClsHead'),
    hidden=_head('MaskedLinearClsHead', 'hidden_channels=[12]'),
    constant=_head('MaskedConstantClsHead'),
    negative=_head('MaskedConstantClsHead', "sign='negative'"),
    topk=WHOLE.format(options="criterion='topk', keep_ratio=0.3"),
)


def model_head(config):
    """The head of a config."""
    model = Config.fromfile(config).model
    return model.get('head') or model.module.head


class Masked(NamedTuple):
    """Files of a masked training that never took place.

    Args:
        config (str): Of the masked training.
        checkpoint (str): With masks.
        stock (str): Config of the model without masks.
        base (str): Weights that the masks belong to.
    """

    config: str
    checkpoint: str
    stock: str
    base: str


def write_masked(folder, kind='whole', seed=0, temperature=2.0):
    """Write base and masked model into ``folder``; their files."""
    stock, base = write_model(folder, RESNET)
    config = folder / f'{kind}.py'
    config.write_text(CONFIGS[kind])
    model = build_model(Config.fromfile(config))
    weights = torch.load(base, weights_only=True)['state_dict']
    if 'mask_plugins.Masked' in str(model_head(config)):
        weights = {k: v for k, v in weights.items() if 'head' not in k}
    model.load_state_dict(weights, strict=False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for item in named_masks(model):
            for parameter in item.mask.parameters():
                parameter.normal_(generator=generator)
            if kind == 'soft':
                item.mask.temperature = temperature
        # What else a training changes.
        trained = {k for k, p in model.named_parameters() if p.requires_grad}
        for name, tensor in model.state_dict().items():
            if 'running' in name or (name in trained and 'head.fc' in name):
                tensor.add_(torch.rand(tensor.shape, generator=generator))
        if kind == 'soft':
            for name, parameter in model.named_parameters():
                if name.endswith('conv1.weight'):
                    parameter.mul_(1.5)
    checkpoint = folder / f'{kind}_{seed}.pth'
    meta = dict(dataset_meta=dict(classes=list('0123456789')), epoch=3)
    state = dict(state_dict=model.state_dict(), meta=meta)
    torch.save(state, str(checkpoint))
    return Masked(str(config), str(checkpoint), stock, base)


def scores_of(model):
    """Logits of fixed images."""
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(6, 3, 16, 16, generator=generator)
    model.eval()
    with torch.no_grad():
        return model(images, mode='tensor')[0]
