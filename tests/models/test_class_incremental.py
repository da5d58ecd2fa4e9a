# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A head that sees some classes, and a loss of the old ones."""

import copy

import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample

INNER = dict(type='LinearClsHead', num_classes=6, in_channels=8)


def build(kind, **options):
    return MODELS.build(dict(type=f'mask_plugins.{kind}', **options))


def head(classes=None, **options):
    ours = build('ClassIncrementalHead', **{'head': INNER, **options})
    if classes:
        ours.set_classes(*classes)
    return ours


def batch(labels):
    feats = (torch.randn(len(labels), 8, requires_grad=True),)
    return feats, [DataSample().set_gt_label(label) for label in labels]


def test_all_seen_is_the_inner_head():
    ours = head()
    feats, samples = batch([0, 3, 5])
    assert torch.equal(ours(feats), ours.head(feats))
    found, wanted = ours.loss(feats, samples), ours.head.loss(feats, samples)
    assert torch.equal(found['loss'], wanted['loss'])
    ours.eval()
    scores = [h.predict(feats)[0].pred_score for h in (ours, ours.head)]
    assert torch.equal(*scores)


@pytest.mark.parametrize(('kind', 'first'), [('new', 2), ('seen', 0)])
def test_loss_among_some_classes(kind, first):
    ours = head((2, 4), loss_classes=kind)
    feats, samples = batch([2, 3, 3])
    loss = ours.loss(feats, samples)['loss']
    logits = ours.head(feats)[:, first:4]
    target = torch.tensor([2, 3, 3]) - first
    assert torch.equal(loss, torch.nn.functional.cross_entropy(logits, target))
    loss.backward()
    rows = ours.head.fc.weight.grad.abs().sum(1)
    assert (rows != 0).tolist() == [first <= i < 4 for i in range(6)]


def test_scores_of_all_classes():
    """Mixup within a task: soft targets of the inner head's size."""
    smooth = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=2)
    ours = head((2, 4), head=dict(INNER, loss=smooth))
    feats, _ = batch([2])
    score = torch.tensor([0, 0, 0.3, 0.7, 0, 0])
    loss = ours.loss(feats, [DataSample().set_gt_score(score)])['loss']
    assert torch.isfinite(loss)


def test_unseen_are_never_predicted():
    ours = head((2, 4)).eval()
    ours.head.fc.bias.data[4:] = 100
    feats, _ = batch([0] * 20)
    for sample in ours.predict(feats):
        assert int(sample.pred_label) < 4
        assert not sample.pred_score[4:].any()
        assert torch.isfinite(sample.pred_score).all()


def test_checkpoint_knows_what_is_seen():
    ours, other = head((2, 4)), head()
    other.load_state_dict(copy.deepcopy(ours.state_dict()))
    feats, _ = batch([0])
    assert torch.equal(ours(feats), other(feats))
    assert torch.isinf(other(feats)[:, 4:]).all()


def test_accuracy_among_the_classes():
    ours = head((2, 4), head=dict(INNER, cal_acc=True, topk=(1,)))
    ours.head.fc.weight.data.zero_()
    ours.head.fc.bias.data = torch.tensor([9.0, 9, 0, 1, 9, 9])
    feats, samples = batch([3, 3])
    assert ours.loss(feats, samples)['accuracy_top-1'][0].item() == 100


@pytest.mark.parametrize('classes', [(0, 0), (-1, 2), (3, 2), (2, 7)])
def test_bad_classes(classes):
    with pytest.raises(ValueError, match='must hold, got'):
        head().set_classes(*classes)


def test_bad_options():
    with pytest.raises(ValueError, match='loss_classes must be one of'):
        head(loss_classes='old')
    with pytest.raises(ValueError, match='no num_classes'):
        head(head=dict(type='ClsHead'))


# ------------------------------------------------------------- the old classes
def old(**options):
    return build('OldClassesLoss', **options)


def test_nothing_is_old_in_the_first_task():
    pred = torch.randn(3, 6, requires_grad=True)
    loss = old()(pred, torch.randn(3, 6))
    assert loss == 0
    loss.backward()
    assert not pred.grad.any()


@pytest.mark.parametrize('kind', ['kd', 'l2', 'l1', 'cosine'])
@pytest.mark.parametrize('softmax', [False, True])
def test_old_classes_alone(kind, softmax):
    if kind == 'kd' and softmax:
        with pytest.raises(ValueError, match='softmax'):
            old(loss=kind, softmax=True)
        return
    loss = old(loss=kind, softmax=softmax, loss_weight=2.0)
    loss.set_classes(3, 5)
    pred = torch.randn(4, 6, requires_grad=True)
    target = torch.randn(4, 6)
    # What a teacher has not seen, and what a v2 target then is.
    target[:, 3:5], target[:, 5] = float('-inf'), float('nan')
    found = loss(pred, target)
    inner = loss.loss(pred[:, :3], target[:, :3])
    assert torch.equal(found, 2 * inner)
    found.backward()
    assert pred.grad[:, :3].any()
    assert not pred.grad[:, 3:].any()


def test_bad_loss():
    with pytest.raises(ValueError, match='loss must be one of'):
        old(loss='huber')
    with pytest.raises(ValueError, match='loss_weight must be .* at least 0'):
        old(loss_weight=-1.0)


@pytest.mark.parametrize('mode', ['s', 'a', 'zero', 'd'])
@pytest.mark.parametrize('inverse', ['none', 'v1', 'v2'])
@pytest.mark.parametrize('loss', ['kd', 'l2'])
def test_every_mask_mode(mode, inverse, loss):
    """Gradients are finite where the logits of unseen classes are not."""
    if mode == 'd' and inverse != 'none':
        return
    masked = build(
        'MaskedFeatureHead',
        head=head((2, 4)),
        mask_mode=mode,
        inv_mode=inverse,
        mask_loss=old(loss=loss, softmax=loss == 'l2'),
    )
    masked.mask_loss.set_classes(2, 4)
    feats, samples = batch([2, 3, 3])
    teacher = torch.randn(3, 6)
    teacher[:, 2:] = float('-inf')
    losses = masked.loss(feats, samples, teacher)
    assert losses['loss_msk'] > 0
    sum(losses.values()).backward()
    for tensor in (feats[0], *masked.parameters()):
        assert torch.isfinite(tensor.grad).all()
