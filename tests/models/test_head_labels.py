# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Labels that are no classes are named by the heads, empty batches are 0."""

import pytest
import torch
from mmpretrain.structures import DataSample

from mask_plugins.functional.distillation import (
    distillation_loss,
    logit_distance,
)
from mask_plugins.functional.hgsl import hard_softmin
from mask_plugins.models.losses import OldClassesLoss, PASSLoss
from mask_plugins.registry import MODELS

SIZES = dict(num_classes=3, in_channels=4)
LINEAR = dict(type='mmpretrain.LinearClsHead', **SIZES)
HEADS = dict(
    hgsl=dict(type='HardGlobalSoftminHead', **SIZES),
    proxies=dict(
        type='PMLLossHead', loss=dict(type='ProxyAnchorLoss'), **SIZES
    ),
    linear=dict(type='MaskedLinearClsHead', **SIZES),
    constant=dict(type='MaskedConstantClsHead', **SIZES),
    dropout=dict(type='DropoutLinearClsHead', **SIZES),
    text=dict(type='TextPrototypeClsHead', **SIZES),
    feature=dict(type='MaskedFeatureHead', head=LINEAR),
    incremental=dict(type='ClassIncrementalHead', head=LINEAR),
    nested=dict(
        type='MaskedFeatureHead',
        head=dict(type='mask_plugins.ClassIncrementalHead', head=LINEAR),
    ),
)


def build(name):
    if name == 'proxies':
        pytest.importorskip('pytorch_metric_learning')
    return MODELS.build(
        dict(HEADS[name], type=f'mask_plugins.{HEADS[name]["type"]}')
    )


def samples(labels):
    return [DataSample().set_gt_label(label) for label in labels]


@pytest.mark.parametrize('name', HEADS)
@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        ([0, 1, 3], r'gt_label .*in \[0, 2\], got 3 in row 2'),
        ([0, -1, 2], r'gt_label .*in \[0, 2\], got -1 in row 1'),
        ([2**40, 1, 0], f'got {2**40} in row 0'),
        ([0, 1], 'data_samples must be one per row.* got 2 for 3 rows'),
        ([0, 1, 2, 0], 'got 4 for 3 rows'),
        ([0, [1, 2], 2], r'gt_label .*\(3,\), one per row, got \(4,\)'),
        ([0, torch.tensor([1.0]), 2], 'gt_label .*int64, got torch.float32'),
        ([torch.tensor([1], dtype=torch.int32)] * 3, 'got torch.int32'),
        ([torch.tensor([True])] * 3, 'int64, got torch.bool'),
        ([], 'got 0 for 3 rows'),
    ],
)  # fmt: skip
def test_wrong_labels(name, labels, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build(name).loss((torch.randn(3, 4),), samples(labels))


@pytest.mark.parametrize('name', HEADS)
def test_no_labels_and_no_rows(name):
    head = build(name)
    with pytest.raises(ValueError, match='gt_label .*must be given'):
        head.loss((torch.randn(2, 4),), [DataSample(), DataSample()])
    with pytest.raises(ValueError, match='a batch that is not empty'):
        head.loss((torch.randn(0, 4),), [])


def test_what_may_be_outside():
    feats = (torch.randn(3, 4),)
    ignored = samples([0, -100, 1])
    assert build('linear').loss(feats, ignored)['loss'].isfinite()
    mixed = [DataSample().set_gt_score(torch.ones(3) / 3) for _ in range(3)]
    cfg = dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1)
    head = MODELS.build(
        dict(type='mask_plugins.DropoutLinearClsHead', loss=cfg, **SIZES)
    )
    assert head.loss(feats, mixed)['loss'].isfinite()
    pytest.importorskip('pytorch_metric_learning')
    triplets = dict(type='TripletMarginLoss')
    head = MODELS.build(
        dict(type='mask_plugins.PMLLossHead', loss=triplets, **SIZES)
    )
    assert head.loss(feats, samples([7, 7, 2**40]))['loss'].isfinite()


def test_a_task_has_its_own_classes():
    head = build('incremental')
    head.set_classes(old=1, seen=2)
    feats = (torch.randn(2, 4),)
    head.loss(feats, samples([1, 1]))
    with pytest.raises(ValueError, match=r'in \[1, 1\], got 2 in row 1'):
        head.loss(feats, samples([1, 2]))


EMPTY = torch.zeros(0, 3, requires_grad=True)
NO_MAP = torch.zeros(0, 3, 2, 2, requires_grad=True)


@pytest.mark.parametrize(
    'loss',
    [
        lambda: hard_softmin(EMPTY, torch.zeros(0, dtype=torch.int64)),
        lambda: distillation_loss(EMPTY, EMPTY),
        lambda: distillation_loss(NO_MAP, NO_MAP, softmax_over='positions'),
        lambda: distillation_loss(EMPTY, EMPTY, kind='cross_entropy'),
        lambda: logit_distance(EMPTY, EMPTY, 'cosine'),
        lambda: logit_distance(NO_MAP, NO_MAP, 'l1', softmax=True),
    ],
)
def test_an_empty_batch_is_zero(loss):
    value = loss()
    assert value.item() == 0
    value.backward()


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda x: hard_softmin(x, torch.tensor([0, 5])), 'labels .*got 5'),
        (lambda x: hard_softmin(x, torch.tensor([0.0, 1.0])), 'int64'),
        (lambda x: hard_softmin(x[0], torch.tensor([0])), 'logits must have'),
        (lambda x: OldClassesLoss()(x, x[:1]), 'pred and target must be'),
        (lambda x: OldClassesLoss().set_classes(2, 2), 'old must be'),
        (lambda x: PASSLoss()(x, x[:1], x, x.mean()), r'positive .*\(1, 3\)'),
        (lambda x: PASSLoss()(*[x[:0]] * 3, x.mean()), 'is not empty'),
        (lambda x: swav().loss(x), r'embeddings must have shape \(V B, 4\)'),
        (lambda x: swav().loss(torch.zeros(0, 4)), '^0 embeddings cannot'),
    ],
)
def test_what_does_not_fit_a_loss(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(torch.randn(2, 3))


def swav():
    cfg = dict(type='mask_plugins.SwAVHead', in_channels=4, num_prototypes=3)
    return MODELS.build(cfg)
