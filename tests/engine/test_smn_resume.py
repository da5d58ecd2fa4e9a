# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A masked run that was killed and resumed is the uninterrupted one."""

import copy

import pytest

from .resume_runs import BASE
from .test_resume import assert_same_run, kill_and_resume, run

__all__ = ['run']  # a fixture

SCORES = dict(type='mask_plugins.ScoreMask', init='kaiming')


def masked(criterion, start):
    """What makes a masked run of the base config, with a schedule."""
    level = 'keep_ratio' if criterion == 'topk' else 'threshold'
    return dict(
        model=dict(
            backbone=dict(
                _delete_=True,
                type='mask_plugins.MaskedModel',
                module=copy.deepcopy(BASE['model']['backbone']),
                rules=[
                    dict(pattern='*.attn.qkv.*', action='mask', chunks=3),
                    dict(pattern='*.ffn.*', action='mask'),
                    dict(pattern='*.ln1.*', action='train'),
                    dict(pattern='*', action='freeze'),
                ],
                mask=dict(SCORES, criterion=criterion, **{level: start}),
            ),
            head=dict(
                _delete_=True,
                type='mask_plugins.MaskedLinearClsHead',
                num_classes=10,
                in_channels=16,
                seed=None,
            ),
        ),
        optim_wrapper=dict(
            _delete_=True,
            constructor='mask_plugins.MaskOptimWrapperConstructor',
            optimizer=dict(
                type='mask_plugins.SGDConstantDecay', lr=1.0, momentum=0.9
            ),
            paramwise_cfg=dict(
                masks=dict(weight_decay=1e-3), weights=dict(lr=0.1)
            ),
        ),
        param_scheduler=dict(
            _delete_=True,
            type='mask_plugins.WarmupCosineLR',
            warmup=1,
            cosine_after_warmup=True,
            convert_to_iter_based=True,
        ),
        default_hooks=dict(
            schedule=dict(
                type='mask_plugins.ScheduleHook',
                target=f'backbone.**.{level}',
                schedule=dict(
                    type='mask_plugins.LinearSchedule', start=start, end=0.3
                ),
            )
        ),
    )


@pytest.mark.parametrize(
    ('criterion', 'start'), [('topk', 0.9), ('threshold', -0.2)]
)
def test_resume(run, tmp_path, criterion, start):
    whole = tmp_path / 'whole'
    run(whole, override=masked(criterion, start))
    death = dict(hook=dict(point='after_train_iter', count=7))
    kill_and_resume(
        run,
        tmp_path / 'killed',
        override=masked(criterion, start),
        workers=1,
        **death,
    )
    assert_same_run(tmp_path / 'killed', whole)
