# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A stock classifier of mmpretrain on a few digits, in a Runner."""

from mmengine.runner import Runner

from ..common import methods
from . import toys  # noqa: F401  (it makes runners start faster)

DIGITS = dict(
    type='mask_plugins.Digits',
    split='test',
    image_size=8,
    pipeline=[dict(type='PackInputs')],
)


def config(work_dir, hooks=(), metrics=(), **changes):
    """The config of a run: 3 iterations per epoch, 4 batches to validate."""
    evaluator = [dict(type='Accuracy', topk=(1,)), *metrics]
    cfg = methods.method_config(
        'ce',
        counts=(48, 50),
        **{
            'custom_hooks': [
                dict(type='mask_plugins.SeedHook'),
                dict(type='mask_plugins.TrainLogHook'),
                *hooks,
            ],
            'train_cfg.max_epochs': 2,
            'train_dataloader.batch_size': 16,
            'val_dataloader.batch_size': 16,
            'test_dataloader.batch_size': 16,
            'val_evaluator': evaluator,
            'test_evaluator': evaluator,
            **changes,
        },
    )
    return methods.named(cfg, work_dir)


def build(work_dir, hooks=(), metrics=(), **changes):
    """Its Runner."""
    return Runner.from_cfg(config(work_dir, hooks, metrics, **changes))
