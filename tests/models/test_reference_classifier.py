# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masked-feature head, teachers and their classifier without a runner."""

import copy
import warnings

import pytest
import torch
from mmengine.model import (
    ExponentialMovingAverage,
    MomentumAnnealingEMA,
    StochasticWeightAverage,
)
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import load_state_dict
from mmpretrain.structures import DataSample

from mask_plugins.models.heads import MaskedFeatureHead
from mask_plugins.models.teachers import EMATeacher

BACKBONE = dict(
    type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4
)
LINEAR = dict(type='LinearClsHead', num_classes=4, in_channels=32)
STACKED = dict(
    type='StackedLinearClsHead',
    num_classes=4,
    in_channels=32,
    mid_channels=[8],
    dropout_rate=0.5,
    norm_cfg=dict(type='BN1d'),
)
NO_LAYER = dict(type='ClsHead')
STOCK = dict(
    type='ImageClassifier',
    backbone=BACKBONE,
    neck=dict(type='GlobalAveragePooling'),
    head=LINEAR,
)
SNAPSHOT = dict(type='mask_plugins.SnapshotTeacher')
EMA = dict(type='mask_plugins.EMATeacher', momentum=0.5)


def masked(head=LINEAR, **options):
    kind = 'mask_plugins.MaskedFeatureHead'
    return dict(type=kind, head=head, **options)


def stock(head=LINEAR):
    return MODELS.build(copy.deepcopy(dict(STOCK, head=head)))


def build(head=LINEAR, teacher=SNAPSHOT, begin=True, **options):
    options.update(head=head, teacher=teacher)
    kind = 'mask_plugins.ReferenceClassifier'
    model = MODELS.build(copy.deepcopy({**STOCK, **options, 'type': kind}))
    if begin:
        model.teacher.update(model.student_network())
    return model


def batch(n=6):
    samples = [DataSample().set_gt_label(i % 4) for i in range(n)]
    return torch.randn(n, 3, 8, 8), samples


def shake(model):
    """Move the student away from its teacher."""
    with torch.no_grad():
        for parameter in model.student_network().parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))


@pytest.mark.parametrize('inner', [LINEAR, STACKED])
@pytest.mark.parametrize(
    'mode', ['scalar', 'per_rank', 'zero', 'dropout', 'a', 'agf']
)
def test_at_test_time_it_is_the_stock_model(inner, mode):
    model, theirs = build(masked(inner, mask_mode=mode)), stock(inner)
    found = theirs.load_state_dict(model.state_dict(), strict=False)
    assert not found.missing_keys
    tokens = [k for k in found.unexpected_keys if 'teacher' not in k]
    trained = mode in ('scalar', 'per_rank', 'a')
    assert tokens == (['head.mask_token'] if trained else [])
    model.eval(), theirs.eval()
    x, _ = batch()
    assert model(x).equal(theirs(x))
    for a, b in zip(model.predict(x), theirs.predict(x)):
        assert a.pred_score.equal(b.pred_score)
    feats = [m.extract_feat(x, 'pre_logits') for m in (model, theirs)]
    assert feats[0].equal(feats[1])
    assert model.head.num_classes == 4


def test_state_dict():
    """Exact with a teacher; without one, of a baseline, all the same."""
    model = build(masked(mask_mode='a', inv_mode='v1'), EMA)
    other = build(masked(mask_mode='a', inv_mode='v1'), EMA, begin=False)
    assert not other.teacher.active
    other.load_state_dict(model.state_dict(), strict=True)
    assert other.teacher.active
    for a, b in zip(model.state_dict().values(), other.state_dict().values()):
        assert a.equal(b)
    baseline = stock()
    other = build(teacher=EMA, begin=False)
    other.load_state_dict(baseline.state_dict(), strict=True)
    assert not other.teacher.active
    assert other.head.fc.weight.equal(baseline.head.fc.weight)
    # mmengine has a loader of its own.
    other = build(masked(), begin=False)
    load_state_dict(other, baseline.state_dict())
    assert other.head.fc.weight.equal(baseline.head.fc.weight)


@pytest.mark.parametrize('scope', ['whole', 'head'])
@pytest.mark.parametrize('head', [LINEAR, masked(inv_mode='v2')])
@pytest.mark.parametrize('teacher', [SNAPSHOT, EMA])
def test_loss(scope, head, teacher):
    model = build(head, teacher, scope=scope).train()
    shake(model)
    before = {k: v.clone() for k, v in model.teacher.state_dict().items()}
    x, samples = batch()
    losses = model.loss(x, samples)
    name = 'loss_kd' if head is LINEAR else 'loss_msk'
    assert list(losses) == ['loss_ce', name]
    total, log = model.parse_losses(losses)
    assert log['loss'].equal(total)
    total.backward()
    for key, parameter in model.named_parameters():
        is_teacher = key.startswith('teacher.')
        assert (parameter.grad is None) == is_teacher, key
        assert parameter.requires_grad != is_teacher
    for key, value in model.teacher.state_dict().items():
        assert value.equal(before[key])  # no statistics of batches either
    assert not any(m.training for m in model.teacher.modules())


def test_the_target_of_the_head_is_detached():
    x, samples = batch()
    grads = {}
    for detach in (True, False):
        torch.manual_seed(0)
        options = dict(scope='head', detach_target=detach)
        model = build(loss_weight=5.0, **options).train()
        model.teacher.network.head.fc.weight.data.add_(1)
        loss = model.loss(x, samples)['loss_kd']
        loss.backward()
        grads[detach] = model.backbone.conv1.weight.grad
    assert not grads[True].equal(grads[False])


def test_two_losses_of_one_teacher():
    model = build(masked(loss_weight=0.5), kd_loss='l2', loss_weight=2.0)
    shake(model)
    losses = model.loss(*batch())
    assert set(losses) == {'loss_ce', 'loss_msk', 'loss_kd'}


def test_before_it_begins():
    model = build(masked(mask_mode='a'), begin=False)
    x, samples = batch()
    with pytest.warns(UserWarning, match='TeacherHook'):
        losses = model.loss(x, samples)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model.loss(x, samples)  # said once
    assert set(losses) == {'loss_ce'}
    losses['loss_ce'].backward()
    assert not model.head.mask_token.grad.any()  # there, for DDP, and 0
    with pytest.raises(RuntimeError, match='has not begun'):
        model.teacher.logits(x)


def test_deep_copy():
    model = build(masked(), EMA)
    copied = copy.deepcopy(model)
    assert copied.teacher.active
    copied.teacher.update(copied.student_network())
    assert int(copied.teacher.steps) == 2
    assert int(model.teacher.steps) == 1
    model.teacher.momentum = 1.0
    shake(model)
    model.teacher.update(model.student_network())
    own = model.teacher.network.backbone.conv1.weight
    assert own.equal(model.backbone.conv1.weight)
    assert not own.equal(copied.backbone.conv1.weight)


def test_bf16_autocast():
    model = build(masked(mask_mode='a', inv_mode='v1'), EMA).train()
    shake(model)
    with torch.autocast('cpu', torch.bfloat16):
        losses = model.loss(*batch())
    assert all(loss.isfinite() for loss in losses.values())
    assert losses['loss_msk'].dtype == torch.float32
    sum(losses.values()).backward()


@pytest.mark.parametrize(
    ('options', 'stock'),
    [
        (dict(momentum=0.2), ExponentialMovingAverage),
        (dict(mode='anne', momentum=0.2, gamma=3), MomentumAnnealingEMA),
        (dict(mode='sto', interval=2), StochasticWeightAverage),
    ],
)
def test_averages_are_those_of_mmengine(options, stock):
    model = build(teacher=dict(EMA, **options), begin=False)
    options.pop('mode', None)
    average = stock(model.student_network(), **options)
    for _ in range(5):
        shake(model)
        model.teacher.update(model.student_network())
        average.update_parameters(model.student_network())
    torch.testing.assert_close(
        dict(model.teacher.network.state_dict()),
        dict(average.module.state_dict()),
    )


# ----------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(mask_mode='x'), "mask_mode must be one of .* got 'x'"),
        (dict(inv_mode='v3'), "inv_mode must be one of .* got 'v3'"),
        (dict(mask_ratio=1.0), r'mask_ratio must be .* \(0, 1\), got 1.0'),
        (dict(mask_ratio=0), r'mask_ratio must be .* \(0, 1\), got 0'),
        (dict(mask_multi=0), 'mask_multi must be an int .* got 0'),
        (dict(loss_weight=-1), 'loss_weight must be .* at least 0, got -1'),
        (dict(loss_weight=float('nan')), 'loss_weight must be .* finite'),
        (dict(mask_loss='x'), "mask_loss must be one of .* got 'x'"),
        (dict(mask_softmax=True), "mask_loss = l2 .* got mask_loss='kd'"),
        (dict(mask_mode='d', inv_mode='v2'), "inv_mode with .* 'subtract'"),
        (dict(head=NO_LAYER), 'ClsHead has no parameters .*`fc`'),
    ],
)
def test_bad_head(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        MODELS.build({**masked(), **options})


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(scope='all'), "scope must be one of .* got 'all'"),
        (dict(head=None), 'head must be given'),
        (dict(detach_target=False), "detach_target=False .* got 'whole'"),
        (dict(loss_weight=-1), 'loss_weight must be a number of at least 0'),
        (dict(kd_loss='x'), "kd_loss must be one of .* got 'x'"),
        (dict(head=masked(), loss_weight=3.0), 'set head.loss_weight'),
        (dict(head=NO_LAYER, scope='head'), 'ClsHead has no param.* .no `fc`'),
        (dict(teacher=dict(SNAPSHOT, begin=-1)), 'begin must be an int'),
        (dict(teacher=dict(SNAPSHOT, interval=0)), 'interval must be an int'),
        (dict(teacher=dict(EMA, mode='x')), "mode must be one of .* got 'x'"),
        (dict(teacher=dict(EMA, momentum=1)), 'momentum.*got 1'),
        (dict(teacher=dict(EMA, gamma=0)), 'gamma must be an int'),
    ],
)
def test_bad_classifier(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_bad_values_during_training():
    teacher = EMATeacher()
    teacher.momentum = 1.5
    with pytest.raises(ValueError, match='teacher.momentum .* got 1.5'):
        teacher.update(None)
    head = MODELS.build(masked())
    head.mask_ratio = 0.0
    given = (torch.zeros(2, 32),), torch.zeros(2, 4)
    with pytest.raises(ValueError, match='ratio must be'):
        head.masked_loss(*given)
    with pytest.raises(ValueError, match='1 .mask_multi. draws'):
        head.masked_loss(*given, torch.zeros(2, 2, 32))
    with pytest.raises(TypeError, match='teacher must be'):
        build(teacher='ema')
    assert isinstance(head, MaskedFeatureHead)
