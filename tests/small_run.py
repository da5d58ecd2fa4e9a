# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The quickstart config, and what makes a run of it take seconds."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = 'pss_vit-tiny_1xb16-magnitude-cyclic-80-0-30e_digits.py'
QUICKSTART = ROOT / 'configs' / 'pss' / NAME
ONE_LAYER = 'model.backbone.arch.num_layers=1'
# Options for --cfg-options: two iterations of 32 images, one validation.
SMALL = (
    ONE_LAYER,
    'train_cfg.max_epochs=1',
    'train_dataloader.dataset.indices=64',
    'train_dataloader.batch_size=32',
    'val_dataloader.dataset.indices=20',
    # The schedule's own warm-up is longer than the run.
    'param_scheduler.warmup=0',
)
SMALL_TEST = (ONE_LAYER, 'test_dataloader.dataset.indices=20')
