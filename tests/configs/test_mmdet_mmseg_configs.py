# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Soft masks in stock backbones of mmdet and mmseg train.

On generated images. They run where the full mmcv is installed.
"""

import json

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from mask_plugins.core.weights import SoftMaskConv2d, named_masks

from .configs import EXTERNAL, load

pytestmark = pytest.mark.mmdet
DETECTOR = 'cs_mmdet-retinanet-r18_1xb8-3x12e_coco'
SEGMENTOR = 'cs_mmseg-fcn-r18_4xb2-3x36e_cityscapes'
SIZE = 64


def detection_data(root):
    """Two images with a box each, as COCO has them."""
    images, boxes = [], []
    for number in range(2):
        write_image(root / 'train2017' / f'{number}.jpg', number)
        name = dict(id=number, file_name=f'{number}.jpg')
        images.append(dict(name, width=SIZE, height=SIZE))
        box = dict(id=number, image_id=number, category_id=1, iscrowd=0)
        boxes.append(dict(box, bbox=[8, 8, 40, 40], area=1600))
    path = root / 'annotations' / 'instances_train2017.json'
    path.parent.mkdir()
    categories = [dict(id=1, name='person')]
    found = dict(images=images, annotations=boxes, categories=categories)
    path.write_text(json.dumps(found))


def segmentation_data(root):
    """Two images with two classes each, as Cityscapes has them."""
    for number in range(2):
        town = f'train/town/{number}'
        write_image(root / f'leftImg8bit/{town}_leftImg8bit.png', number)
        path = root / f'gtFine/{town}_gtFine_labelTrainIds.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        labels = np.zeros((SIZE, SIZE), np.uint8)
        labels[:, SIZE // 2 :] = 13
        Image.fromarray(labels).save(path)


def write_image(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (SIZE, SIZE, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(path)


def reduce(cfg, root):
    """One step of search and one of the ticket, on the CPU, untrained."""
    cfg.work_dir = str(root / 'work')
    cfg.log_level = 'ERROR'
    for split in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            cfg.pop(f'{split}_{part}')
    cfg.train_dataloader.update(
        batch_size=2, num_workers=0, persistent_workers=False
    )
    cfg.train_dataloader.dataset.data_root = str(root)
    cfg.train_cfg = dict(by_epoch=True, max_epochs=2)
    cfg.default_hooks.sparsification.update(
        rounds=1, epochs_per_round=1, ticket_epochs=1, rewind_epoch=0
    )
    cfg.model.backbone.pop('init_cfg', None)
    cfg.model.pop('pretrained', None)
    for transform in cfg.train_dataloader.dataset.pipeline:
        if transform.type in ('Resize', 'RandomResize'):
            transform.scale = (SIZE, SIZE)
        if transform.type == 'RandomCrop':
            transform.crop_size = (SIZE, SIZE)
    return cfg


def train(cfg):
    """Run it; what the masks were before and are after."""
    runner = Runner.from_cfg(cfg)
    masks = list(named_masks(runner.model))
    parts = runner.model.backbone.modules()
    convs = [m for m in parts if isinstance(m, torch.nn.Conv2d)]
    assert len(masks) == len(convs) >= 20
    assert all(isinstance(module, SoftMaskConv2d) for module in convs)
    weights = [item.parameter.detach().clone() for item in masks]
    runner.train()
    assert runner.iter == 2
    for item, weight in zip(masks, weights):
        assert item.mask.ticket
        assert item.mask.logits.isfinite().all()
        # The first step has trained both.
        assert item.mask.logits.any(), item.name
        assert not item.parameter.equal(weight), item.name
    scalars = runner.message_hub.log_scalars
    assert np.isfinite(scalars['train/loss'].data[0]).all()
    assert 'train/loss_mask' in scalars
    saved = torch.load(cfg.work_dir + '/epoch_2.pth', weights_only=True)
    key = f'{masks[0].name}_mask'
    assert saved['state_dict'][f'{key}.ticket_flag']
    assert masks[0].name in saved['state_dict']


def test_both_are_known_as_configs_of_other_projects():
    assert [path.stem for path in EXTERNAL] == [DETECTOR, SEGMENTOR]


def test_mmdet_backbone_trains(tmp_path):
    pytest.importorskip('mmdet')
    DefaultScope._instance_dict.clear()
    detection_data(tmp_path)
    train(reduce(load(DETECTOR), tmp_path))


def test_mmseg_backbone_trains(tmp_path):
    pytest.importorskip('mmseg')
    DefaultScope._instance_dict.clear()
    segmentation_data(tmp_path)
    cfg = reduce(load(SEGMENTOR), tmp_path)
    cfg.model.data_preprocessor.size = (SIZE, SIZE)
    for part in (cfg, cfg.model.backbone, cfg.model.decode_head,
                 cfg.model.auxiliary_head):  # fmt: skip
        part.norm_cfg = dict(type='BN')  # SyncBN needs a GPU
    train(cfg)
