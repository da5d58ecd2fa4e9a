# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Validation while a self-supervised algorithm trains."""

import json

import torch
from mmengine.runner import Runner

from .test_selfsup import CROP, config


def test_validation_changes_nothing(tmp_path):
    """Metrics of features, a probe and LiDAR; the training is the same."""
    name = 'SimSiam'
    plain = config(tmp_path / 'plain', name)
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        plain.pop(key)
    plain = Runner.from_cfg(plain)
    plain.train()
    hooks = [
        dict(type='mask_plugins.LinearProbeHook', layer='backbone'),
        dict(type='mask_plugins.LiDARHook', images=6, views=4, interval=1),
        dict(type='mask_plugins.TrainLogHook'),
    ]
    watched = Runner.from_cfg(config(tmp_path / 'watched', name, hooks))
    watched.train()
    state = watched.model.state_dict()
    for key, value in plain.model.state_dict().items():
        assert torch.equal(state[key], value), key
    lines = (tmp_path / 'watched' / 'val_log.json').read_text().splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert {'knn/top1', 'rankme/rank', 'lidar/rank'} <= set(first)
    assert 'probe/top1' in last
    assert 'probe/top1' not in first
    assert 1 <= last['lidar/rank'] <= 6


def test_features_of_mae_are_validated(tmp_path):
    """Its encoder drops tokens at random in training, none of features."""
    arch = dict(
        embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32
    )
    cfg = config(tmp_path / 'run', 'SimSiam')
    cfg.model = dict(
        type='MAE',
        backbone=dict(
            type='MAEViT', arch=arch, img_size=12, patch_size=4, mask_ratio=0.5
        ),
        neck=dict(
            type='MAEPretrainDecoder', patch_size=4, num_patches=9,
            embed_dim=16, decoder_embed_dim=16, decoder_depth=1,
            decoder_num_heads=2,
        ),
        head=dict(type='MAEPretrainHead', norm_pix=True, patch_size=4,
                  loss=dict(type='PixelReconstructionLoss', criterion='L2')),
    )  # fmt: skip
    dataset = cfg.train_dataloader.dataset
    dataset.pipeline = [dataset.pipeline[0], *CROP, dict(type='PackInputs')]
    cfg.train_cfg.max_epochs = 1
    cfg.optim_wrapper.optimizer.lr = 0.01
    runner = Runner.from_cfg(cfg)
    runner.train()
    found = [runner.val_loop.run() for _ in range(2)]
    assert found[0] == found[1]  # nothing of it is random
    assert 0 <= found[0]['knn/top1'] <= 100
    assert 1 <= found[0]['rankme/rank'] <= 16
