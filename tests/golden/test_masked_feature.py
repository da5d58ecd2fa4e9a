# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masked features and their losses against values of the authors' code."""

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

from mask_plugins.core.features import (
    complement_features,
    drop_features,
    mask_count,
    mask_features,
    random_channel_mask,
)
from mask_plugins.functional.distillation import distillation_loss
from mask_plugins.models.heads.masked_feature_head import ALIASES
from mask_plugins.models.teachers import SnapshotTeacher

from . import values
from .golden import Golden, close, need, tensor
from .perturb import bump

golden = Golden()
FILE = 'masked_feature'
# The original's distillation: soft cross entropy, not scaled.
ORIGINAL_KD = dict(
    type='mask_plugins.DistillationLoss', kind='cross_entropy', scale=False
)
LINEAR = dict(type='LinearClsHead', num_classes=4, in_channels=8)


def inputs():
    """The inputs, floats as float64 tensors."""
    tensors = ('feats', 'W', 'b', 'W_ref', 'b_ref', 'ref_logits', 'noise')
    return {
        key: tensor(value) if key in tensors else value
        for key, value in need(FILE, 'inputs').items()
    }


def cases(key):
    """The single case of a key."""
    return lambda: [found for _, found in values.matching(FILE, key)]


def each(key):
    """The list of cases of a key."""
    return lambda: [x for _, c in values.matching(FILE, key) for x in c]


@golden(cases('inputs'), order=bump('ids_shuffle'))
def test_inputs(case):
    """The order and the mask that the noise gives."""
    feats, noise = tensor(case['feats']), tensor(case['noise'])
    mask = random_channel_mask(feats, case['mask_ratio'], noise)
    close(mask.order, case['ids_shuffle'], 0)
    close(mask.mask, case['mask'], 0)
    assert mask.count == sum(case['mask'][0])


def counts():
    for _, found in values.matching(FILE, 'mask_counts'):
        for name, count in found.items():
            channels, ratio = name.split('_')
            yield dict(channels=int(channels), ratio=float(ratio), count=count)


@golden(counts, count=bump('count'))
def test_mask_counts(case):
    assert mask_count(case['channels'], case['ratio']) == case['count']


def tokens_of(mode):
    """Token of the masked, and of the kept channels."""
    found = inputs()['tokens']
    if mode == 's':
        return (tensor(found['smask_token']),) * 2
    if mode == 'a':
        return tensor(found['mask_token']), tensor(found['mask_tokeninv'])
    return None, None


def maskings():
    for _, found in values.matching(FILE, 'masking*'):
        noises = found.get('noises')
        for mode, expected in found.items():
            if mode != 'noises':
                yield dict(mode=mode, noises=noises, expected=expected)


@golden(
    maskings,
    lambda case: case['mode'],
    masked=bump('expected', 'x_mask'),
    complement=bump('expected', 'x_mask_inv'),
)
def test_masking(case):
    given = inputs()
    token, inverse = tokens_of(case['mode'])
    masked, complements = [], []
    for noise in tensor(case['noises'] or [given['noise'].tolist()]):
        mask = random_channel_mask(given['feats'], given['mask_ratio'], noise)
        masked.append(mask_features(given['feats'], mask, token))
        complements.append(complement_features(given['feats'], mask, inverse))
    close(torch.cat(masked), case['expected']['x_mask'], 0)
    close(torch.cat(complements), case['expected']['x_mask_inv'], 0)


@golden(cases('kd_loss'), distillation=bump('teacher_entropy_T2'))
def test_kd_loss(case):
    student, teacher = tensor(case['student']), tensor(case['teacher'])
    for t in (1, 2, 4):
        loss = distillation_loss(student, teacher, t, 'cross_entropy', False)
        close(loss, case[f'value_T{t}'])
    entropy = case['teacher_entropy_T2']
    close(
        distillation_loss(teacher, teacher, 2, 'cross_entropy', False), entropy
    )
    kl = distillation_loss(student, teacher)
    close(kl, 4 * (case['value_T2'] - entropy))


class Features(BaseModule):
    """A backbone whose images are the features."""

    def forward(self, x):
        return (x,)


class Given(SnapshotTeacher):
    """A teacher that says what it is told."""

    def update(self, student):
        self.given = inputs()['ref_logits']
        self._start()

    def forward(self, x):
        return self.given


def fill(head, weight, bias):
    with torch.no_grad():
        head.fc.weight.copy_(weight)
        head.fc.bias.copy_(bias)


def classifier(head, ref, **options):
    """A reference classifier with the weights of the file."""
    given = inputs()
    detach = ref != 'cls_only'
    whole = ref == 'whole'
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='mask_plugins.ReferenceClassifier',
                backbone=Features(),
                head=head,
                teacher=Given() if whole else SnapshotTeacher(),
                scope='whole' if whole else 'head',
                detach_target=detach,
                **options,
            )
        ).double()
    model.teacher.update(model.student_network())
    if not whole:
        fill(model.teacher.network.head, given['W_ref'], given['b_ref'])
    fill(model.head, given['W'], given['b'])
    return model


def samples():
    return [DataSample().set_gt_label(label) for label in inputs()['labels']]


def case_id(case):
    keys = ('ref', 'loss_type', 'mask_mode', 'inv_mode', 'mask_multi')
    return '-'.join(str(case[key]) for key in keys)


LOSSES = dict(
    kd=dict(mask_loss=ORIGINAL_KD),
    l2=dict(mask_loss='l2'),
    l2_softmax=dict(mask_loss='l2', mask_softmax=True),
    cs=dict(mask_loss='cosine'),
    cs_softmax=dict(mask_loss='cosine', mask_softmax=True),
)


@golden(
    each('loss_msk'),
    case_id,
    masked_loss=bump('losses', 'loss_msk'),
    total=bump('total_fixed'),
    gradient=bump('grad_msk_W'),
    token_gradient=bump('grad_msk_smask_token'),
)
def test_loss_msk(case):
    given = inputs()
    multi = case['mask_multi'] or 1
    head = dict(
        type='mask_plugins.MaskedFeatureHead',
        head=LINEAR,
        mask_ratio=given['mask_ratio'],
        mask_mode=case['mask_mode'],
        inv_mode=case['inv_mode'] or 'none',
        mask_multi=multi,
        loss_weight=given['loss_weight'],
        **LOSSES[case['loss_type']],
    )
    model = classifier(head, case['ref'])
    token, inverse = tokens_of(case['mask_mode'])
    head = model.head
    with torch.no_grad():
        if token is not None:
            head.mask_token[:, : token.shape[1]] = token
        if 'inverse_token' in head._buffers:
            head.inverse_token[:, : inverse.shape[1]] = inverse
    noise = given['noise']
    if multi > 1:
        noise = tensor(need(FILE, 'masking_multi2')['noises'])
    loss = head.loss
    head.loss = lambda *args: loss(*args, noise=noise)
    feats = given['feats'].clone().requires_grad_()
    losses = model.loss(feats, samples())
    assert set(losses) == {'loss_ce', 'loss_msk'}
    again = multi  # of several masks the original takes the mean twice
    expected = case['losses']
    close(losses['loss_ce'].detach(), expected['loss_ce'])
    close(losses['loss_msk'].detach() / again, expected['loss_msk'])
    total, log = model.parse_losses(losses)
    close(log['loss'].detach(), total.detach(), 0)
    if multi == 1:
        close(total.detach(), case['total_fixed'])
    check_gradients(case, model, feats, losses, again)


def check_gradients(case, model, feats, losses, again):
    head = model.head
    leaves = dict(feats=feats, W=head.fc.weight, b=head.fc.bias)
    token = head._parameters.get('mask_token')
    if token is not None:
        name = 'smask_token' if case['mask_mode'] == 's' else 'mask_token'
        leaves[name] = token
    found = torch.autograd.grad(
        losses['loss_msk'], list(leaves.values()), retain_graph=True
    )
    for (name, _), gradient in zip(leaves.items(), found):
        expected = tensor(case[f'grad_msk_{name}'])
        gradient = gradient / again
        if name == 'mask_token':
            assert not gradient[:, expected.shape[1] :].any()
            gradient = gradient[:, : expected.shape[1]]
        close(gradient, expected)
    ce, msk = (
        torch.autograd.grad(losses[key], [feats, head.fc.bias])
        for key in ('loss_ce', 'loss_msk')
    )
    # The original's total has the cross entropy twice.
    for name, a, b in zip(('feats', 'b'), ce, msk):
        close(2 * a + b / again, case[f'grad_total_{name}'])


@golden(
    each('loss_kd'),
    lambda case: '{kd_mode}-{ref}'.format(**case),
    kd_gradient=bump('grad_kd_feats'),
)
def test_loss_kd(case):
    given = inputs()
    model = classifier(
        LINEAR,
        case['ref'],
        kd_loss=ORIGINAL_KD,
        loss_weight=given['loss_weight'],
    )
    feats = given['feats'].clone().requires_grad_()
    losses = model.loss(feats, samples())
    if 'error' in case:  # head-only with an ensemble: a crash there
        assert set(losses) == {'loss_ce', 'loss_kd'}
        return
    for key, expected in case['losses'].items():
        close(losses[key].detach(), expected)
    close(sum(losses.values()).detach(), case['total'])
    (found,) = torch.autograd.grad(losses['loss_kd'], [feats])
    close(found, case['grad_kd_feats'])


def build_head(**options):
    return MODELS.build(
        dict(
            type='mask_plugins.MaskedFeatureHead',
            head=dict(LINEAR, type='mmpretrain.LinearClsHead'),
            **options,
        )
    )


def total_without_masked_loss():
    """What is left if there is no weight."""
    given = inputs()
    model = build_head(loss_weight=0).double()
    fill(model, given['W'], given['b'])
    losses = model.loss((given['feats'],), samples(), given['ref_logits'])
    assert set(losses) == {'loss_ce'}
    return losses['loss_ce'].detach()


@golden(cases('loss_ce'))
def test_loss_ce(case):
    close(total_without_masked_loss(), case['loss'])


@golden(cases('loss_msk_zero_weight'))
def test_zero_weight(case):
    """Cross entropy once, not twice."""
    total = total_without_masked_loss()
    close(total, case['losses']['loss_ce'])
    close(2 * total, case['total_ref'])


def test_mode_d():
    """Dropout works, and is refused with the complement it does not have."""
    given = inputs()
    noise, x = given['noise'], given['feats']
    ratio = given['mask_ratio']
    expected = torch.where(noise < ratio, 0, x / (1 - ratio))
    torch.testing.assert_close(drop_features(x, ratio, noise), expected)
    loss = build_head(mask_mode='d').double().masked_loss
    assert loss((x,), given['ref_logits']) > 0
    with pytest.raises(ValueError, match="inv_mode must be 'none', got 'add'"):
        build_head(mask_mode='d', inv_mode='v1')


def test_unknown_inverse():
    with pytest.raises(ValueError, match="'add', 'subtract'.*got 'v3'"):
        build_head(inv_mode='v3')


def test_aliases():
    """``sgd`` is ``sgf``; ``agd`` is ``agf``, not trained as there."""
    for alias in ('sgf', 'agf', 'sgd', 'agd'):
        head = build_head(mask_mode=alias)
        assert head.mask_mode == ALIASES[alias] == 'zero'
        assert not head.no_weight_decay()


PERTURBATIONS = golden.perturbations
