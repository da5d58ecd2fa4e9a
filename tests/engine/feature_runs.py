# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A stock classifier of mmpretrain on a few digits, in a Runner."""

import copy

from mmengine.config import Config
from mmengine.runner import Runner

from . import toys  # noqa: F401  (it makes runners start faster)

PIPELINE = [dict(type='PackInputs')]
DIGITS = dict(
    type='mask_plugins.Digits', split='train', indices=48, pipeline=PIPELINE
)
LOADER = dict(
    batch_size=16,
    num_workers=0,
    dataset=dict(DIGITS, split='test', indices=50),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
MODEL = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR', depth=18, stem_channels=4, base_channels=2,
        num_stages=2, out_indices=(1,), strides=(1, 2), dilations=(1, 1),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=4,
              loss=dict(type='CrossEntropyLoss'), topk=(1,)),
)  # fmt: skip
CONFIG = dict(
    default_scope='mmpretrain',
    model=MODEL,
    data_preprocessor=dict(num_classes=10, mean=[77.8] * 3, std=[95.9] * 3),
    train_dataloader=dict(
        LOADER,
        dataset=DIGITS,
        sampler=dict(type='DefaultSampler', shuffle=True),
    ),
    val_dataloader=LOADER,
    test_dataloader=LOADER,
    val_evaluator=[dict(type='Accuracy', topk=(1,))],
    test_evaluator=[dict(type='Accuracy', topk=(1,))],
    train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=1),
    val_cfg=dict(),
    test_cfg=dict(),
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
    default_hooks=dict(
        checkpoint=dict(type='mask_plugins.SafeCheckpointHook', interval=2),
        logger=dict(type='LoggerHook', interval=100),
    ),
    custom_hooks=[
        dict(type='mask_plugins.SeedHook'),
        dict(type='mask_plugins.TrainLogHook'),
    ],
    randomness=dict(seed=0),
)
_count = 0


def config(work_dir, hooks=(), metrics=(), **changes):
    """The config of a run: 3 iterations per epoch, 4 batches to validate."""
    global _count
    _count += 1
    cfg = Config(copy.deepcopy(CONFIG))
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f'features_{_count}'
    cfg.custom_hooks += list(hooks)
    cfg.val_evaluator += list(metrics)
    cfg.test_evaluator += list(metrics)
    cfg.merge_from_dict(changes)
    return cfg


def build(work_dir, hooks=(), metrics=(), **changes):
    """Its Runner."""
    return Runner.from_cfg(config(work_dir, hooks, metrics, **changes))
