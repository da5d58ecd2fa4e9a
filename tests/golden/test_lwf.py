# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Losses of continual learning against the values of the authors' code."""

import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

from . import values
from .golden import Golden, close, tensor
from .perturb import bump
from .test_masked_feature import (
    LINEAR,
    ORIGINAL_KD,
    Features,
    Given,
    fill,
    inputs,
    tokens_of,
)

golden = Golden()
OLD, WEIGHT = 2, 3.0  # the original's lambda; if_wf is 10 times the loss
OLD_KD = dict(type='mask_plugins.OldClassesLoss', loss=ORIGINAL_KD)


def cases():
    for _, found in values.matching('masked_feature', 'lwf'):
        plain = found.get('loss_lwf', {})
        for name, case in found.items():
            mode = name.replace('loss_msk_', '')
            yield {**plain, **case, 'mode': '' if mode == name else mode}


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
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='mask_plugins.ReferenceClassifier',
                backbone=Features(),
                head=head,
                teacher=Given(),
                kd_loss=OLD_KD,
                loss_weight=10.0 if case['mode'] else WEIGHT,
            )
        ).double()
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
    cases,
    lambda case: case['mode'] or 'unmasked',
    lwf=bump('losses', 'loss_lwf'),
    lwf_total=bump('total'),
    masked_lwf=bump('losses', 'loss_msk'),
)
def test_lwf(case):
    model, given = model_of(case), inputs()
    token, _ = tokens_of(case['mode'])
    if token is not None:
        with torch.no_grad():
            model.head.mask_token[:, : token.shape[1]] = token
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
    close(losses['loss_ce'].detach(), wanted['loss_ce'])
    close(losses['loss_kd'].detach(), wanted['loss_lwf'])
    if case['mode']:
        close(losses['loss_msk'].detach(), wanted['loss_msk'])
    total, _ = model.parse_losses(losses)
    close(total.detach(), case['total'])


PERTURBATIONS = golden.perturbations
