# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Continual learning for the base config of ``resume_runs``."""

from .teacher_runs import reference

TASKS = dict(type='mask_plugins.TaskSplit', tasks=[6, 4], seed=0)
OLD = dict(type='mask_plugins.OldClassesLoss')


def digits(split, count, pipeline):
    return dict(
        _delete_=True,
        dataset=dict(
            type='mask_plugins.Digits',
            split=split,
            image_size=16,
            indices=count,
            pipeline=pipeline,
        ),
        **TASKS,
    )


def lwf(masked=None, teacher=None):
    """Two tasks of unequal size; LwF, or masked LwF."""
    if masked is not None:
        masked = dict(masked, mask_loss=OLD)
    options = reference(
        teacher or dict(type='TaskTeacher'), masked, kd_loss=dict(OLD)
    )
    model = options['model']
    holder = model if masked is None else model['head']
    inner = {k: v for k, v in holder['head'].items() if k != '_delete_'}
    holder['head'] = dict(type='mask_plugins.ClassIncrementalHead', head=inner)
    if masked is None:
        holder['head']['_delete_'] = True
    train = [
        dict(type='mask_plugins.SeedSample'),
        dict(type='RandomCrop', crop_size=16, padding=2),
        dict(type='PackInputs'),
    ]
    options.update(
        train_dataloader=dict(
            dataset=digits('train', 100, train),
            sampler=dict(type='mask_plugins.TaskSampler', shuffle=True),
            drop_last=True,
        ),
        val_dataloader=dict(
            dataset=digits('test', 48, [dict(type='PackInputs')])
        ),
        val_evaluator=dict(_delete_=True, type='mask_plugins.TaskAccuracy'),
        train_cfg=dict(
            _delete_=True,
            type='mask_plugins.ContinualTrainLoop',
            epochs=2,
            later_epochs=1.5,
        ),
        param_scheduler=[
            dict(
                type='mask_plugins.TaskwiseMultiStepLR',
                milestones=[[1], [1, 2]],
            )
        ],
    )
    options['default_hooks'] = dict(
        options['default_hooks'],
        continual=dict(type='mask_plugins.ContinualHook', reset_momentum=True),
        checkpoint=dict(save_best=None),
    )
    return options
