# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Reference classifiers for the base config of ``resume_runs``."""

from .resume_runs import BASE, _merge

RESNET = dict(
    _delete_=True,
    type='ResNet_CIFAR',
    depth=18,
    base_channels=4,
    stem_channels=4,
)
HEAD = dict(_delete_=True, type='LinearClsHead', num_classes=10)


def plain(**override):
    """Cross entropy alone; batch statistics, and weights that decay."""
    options = dict(
        model=dict(
            backbone=dict(RESNET),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(HEAD, in_channels=32),
            train_cfg=None,
        ),
        optim_wrapper=dict(
            optimizer=dict(
                _delete_=True,
                type='SGD',
                lr=0.05,
                momentum=0.9,
                weight_decay=0.01,
            ),
        ),
    )
    return _merge(options, override)


def reference(teacher, masked=None, **model):
    """The same with a teacher, and perhaps a loss on masked features."""
    options = plain()
    head = options['model']['head']
    if masked is not None:
        inner = {k: v for k, v in head.items() if k != '_delete_'}
        head = dict(
            _delete_=True,
            type='mask_plugins.MaskedFeatureHead',
            head=inner,
            **masked,
        )
    options['model'].update(
        type='mask_plugins.ReferenceClassifier',
        head=head,
        teacher=dict(teacher, type=f'mask_plugins.{teacher["type"]}'),
        **model,
    )
    options['default_hooks'] = dict(
        teacher=dict(type='mask_plugins.TeacherHook')
    )
    return options


def transformer(teacher, masked, **model):
    """The base config's transformer with Mixup, AdamW and dropout."""
    return dict(
        model=dict(
            type='mask_plugins.ReferenceClassifier',
            head=dict(
                _delete_=True,
                type='mask_plugins.MaskedFeatureHead',
                head=dict(BASE['model']['head']),
                **masked,
            ),
            teacher=teacher,
            **model,
        ),
        default_hooks=dict(teacher=dict(type='mask_plugins.TeacherHook')),
    )
