# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Losses of continual learning against the values of the authors' code."""

import torch
from mmpretrain.structures import DataSample

from .golden import Case, bump, close, tensor
from .test_masked_feature import (
    LINEAR,
    ORIGINAL_KD,
    Given,
    fill,
    golden,
    inputs,
    reference,
    set_token,
    tokens_of,
)

OLD, WEIGHT = 2, 3.0  # the original's lambda; if_wf is 10 times the loss
OLD_KD = dict(type='mask_plugins.OldClassesLoss', loss=ORIGINAL_KD)


def cases(key, found):
    plain = found.get('loss_lwf', {})
    for name, case in found.items():
        mode = name.replace('loss_msk_', '')
        yield Case({**plain, **case}, mode='' if mode == name else mode)


def model_of(case):
    """LwF, or masked LwF with ``if_wf``, in the second task."""
    given = inputs()
    head = dict(type='mask_plugins.ClassIncrementalHead', head=LINEAR)
    if case['mode']:
        head = dict(
            type='mask_plugins.MaskedFeatureHead',
            head=head,
            mask_ratio=given['mask_ratio'],
            mask_mode=case['mode'],
            mask_loss=OLD_KD,
            loss_weight=WEIGHT,
        )
    weight = 10.0 if case['mode'] else WEIGHT
    options = dict(kd_loss=OLD_KD, loss_weight=weight)
    model = reference(head, teacher=Given(), **options)
    for module in model.modules():
        if hasattr(type(module), 'set_classes'):
            module.set_classes(OLD, 4)
    inner = model.head.head.head if case['mode'] else model.head.head
    fill(inner, given['W'], given['b'])
    model.teacher.update(model.student_network())
    # It knows the old classes alone.
    model.teacher.given = torch.full((3, 4), float('-inf')).double()
    model.teacher.given[:, :OLD] = tensor(case['old_logits'])
    return model


@golden(
    'lwf',
    lambda case: case['mode'] or 'unmasked',
    cases,
    lwf=bump('losses', 'loss_lwf'),
    lwf_total=bump('total'),
    masked_lwf=bump('losses', 'loss_msk'),
)
def test_lwf(case):
    model, given = model_of(case), inputs()
    token, _ = tokens_of(case['mode'])
    if token is not None:
        set_token(model.head.mask_token, token)
    if case['mode']:
        loss = model.head.loss
        model.head.loss = lambda *args: loss(*args, noise=given['noise'])
    samples = [
        DataSample().set_gt_label(OLD + label)
        for label in case['new_labels_local']
    ]
    losses = model.loss(given['feats'], samples)
    wanted = case['losses']
    assert set(losses) == {'loss_ce', 'loss_kd'} | (set(wanted) & {'loss_msk'})
    close(losses['loss_ce'], wanted['loss_ce'])
    close(losses['loss_kd'], wanted['loss_lwf'])
    if case['mode']:
        close(losses['loss_msk'], wanted['loss_msk'])
    total, _ = model.parse_losses(losses)
    close(total, case['total'])
