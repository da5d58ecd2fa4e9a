# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Runs whose data, model and loss are random, through tools/train.py."""

from ..common import methods

# Four iterations and three batches to validate in each of three epochs.
RANDOM = {
    'model.train_cfg': dict(augments=dict(type='Mixup', alpha=0.8)),
    'train_dataloader.dataset.pipeline': [
        dict(type='mask_plugins.SeedSample'),
        dict(type='RandomCrop', crop_size=24, padding=2),
        dict(type='RandomFlip', prob=0.5),
        dict(type='ColorJitter', brightness=0.5, contrast=0.5),
        dict(type='PackInputs'),
    ],
    'val_dataloader.batch_size': 16,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
    'randomness.seed': 7,
}
ITERATIONS = {
    'train_cfg': dict(
        _delete_=True, by_epoch=False, max_iters=10, val_interval=3
    ),
    'param_scheduler': [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False)
    ],
    'default_hooks.checkpoint.by_epoch': False,
    'default_hooks.checkpoint.interval': 3,
}
PERSISTENT = {
    f'{part}_dataloader.persistent_workers': True for part in ('train', 'val')
}


def run(work_dir, *args, method='pss', workers=0, hooks=(), **options):
    """Train in a fresh process; the output."""
    for part in ('train', 'val'):
        options[f'{part}_dataloader.num_workers'] = workers
    return methods.train(
        work_dir,
        method,
        *args,
        counts=(32, 48),
        hooks=[dict(type='EMAHook', momentum=0.1), *hooks],
        **{**RANDOM, **options},
    )


def at(point, count, **more):
    """A run dies the n-th time that it is there."""
    hook = dict(type='mask_plugins.SignalHook', point=point, count=count)
    return dict(hooks=[dict(hook, **more)])
