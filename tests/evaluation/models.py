# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tiny classifiers of the digits, trained by nobody, with checkpoints."""

import torch
from mmengine.config import Config

from mask_plugins.apis.model import build_model

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
# 4 x 4 patches and the class token.
VIT = dict(type='VisionTransformer', arch=ARCH, img_size=16, patch_size=4)
PSS = dict(VIT, type='mask_plugins.PSSVisionTransformer')
BEIT = dict(VIT, type='BEiTViT')
RESNET = dict(
    type='ResNet', depth=18, stem_channels=8, base_channels=8, num_stages=1,
    out_indices=(0,), strides=(1,), dilations=(1,),
)  # fmt: skip
TEXT = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone={backbone!r},
    neck={neck!r},
    head=dict(type='LinearClsHead', num_classes=10, in_channels={width}),
)
data_preprocessor = dict(num_classes=10, mean=[77.8] * 3, std=[95.9] * 3)
test_dataloader = dict(
    batch_size=48,
    num_workers=0,
    dataset=dict(
        type='mask_plugins.Digits',
        split='test',
        image_size=16,
        pipeline=[dict(type='PackInputs')],
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
"""


def write_model(folder, backbone=PSS, name='tiny'):
    """Write ``tiny.py`` and ``tiny.pth`` into ``folder``; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    convolutional = backbone['type'] == 'ResNet'
    neck = dict(type='GlobalAveragePooling') if convolutional else None
    width = 8 if convolutional else 16
    config, checkpoint = folder / f'{name}.py', folder / f'{name}.pth'
    config.write_text(TEXT.format(backbone=backbone, neck=neck, width=width))
    torch.save(dict(state_dict=build(config).state_dict()), checkpoint)
    return str(config), str(checkpoint)


def build(config):
    """The model of a config, with weights that tell the classes apart."""
    torch.manual_seed(0)
    model = build_model(Config.fromfile(config))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.eval()
    return model
