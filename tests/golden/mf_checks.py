# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How golden values of masked features are compared, and could be wrong."""

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample
from torch import nn

from mask_plugins.core.features import (
    complement_features,
    mask_count,
    mask_features,
    random_channel_mask,
)
from mask_plugins.functional.distillation import distillation_loss
from mask_plugins.models.teachers import EMATeacher, SnapshotTeacher

from . import values
from .perturb import bump, changed
from .smn_checks import close

FILE = 'masked_feature'
# The original's distillation: soft cross entropy, not scaled.
ORIGINAL_KD = dict(
    type='mask_plugins.DistillationLoss', kind='cross_entropy', scale=False
)


def read(key):
    """The value of a key; empty where the directory does not have it."""
    return dict(values.matching(FILE, key)).get(key, {})


def tensor(value):
    return torch.tensor(value, dtype=torch.float64)


def inputs():
    """The inputs, floats as float64 tensors."""
    found = read('inputs')
    return {
        key: tensor(value)
        if key in ('feats', 'W', 'b', 'W_ref', 'b_ref', 'ref_logits', 'noise')
        else value
        for key, value in found.items()
    }


def inputs_case():
    if read('inputs'):
        yield read('inputs')


def check_inputs(case):
    """The order and the mask that the noise gives."""
    feats, noise = tensor(case['feats']), tensor(case['noise'])
    mask = random_channel_mask(feats, case['mask_ratio'], noise)
    close(mask.order, case['ids_shuffle'], 0)
    close(mask.mask, case['mask'], 0)
    assert mask.count == sum(case['mask'][0])


# ------------------------------------------------------------------- masking
def counts():
    for name, count in read('mask_counts').items():
        channels, ratio = name.split('_')
        yield dict(channels=int(channels), ratio=float(ratio), count=count)


def check_count(case):
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
    noise = inputs().get('noise')
    for key in ('masking', 'masking_multi2'):
        found = read(key)
        noises = tensor(found['noises']) if 'noises' in found else [noise]
        for mode, expected in found.items():
            if mode != 'noises':
                yield dict(mode=mode, noises=noises, expected=expected)


def check_masking(case):
    given = inputs()
    token, inverse = tokens_of(case['mode'])
    masked, complements = [], []
    for noise in case['noises']:
        mask = random_channel_mask(given['feats'], given['mask_ratio'], noise)
        masked.append(mask_features(given['feats'], mask, token))
        complements.append(complement_features(given['feats'], mask, inverse))
    close(torch.cat(masked), case['expected']['x_mask'], 0)
    close(torch.cat(complements), case['expected']['x_mask_inv'], 0)


# -------------------------------------------------------------- distillation
def kd_losses():
    if read('kd_loss'):
        yield read('kd_loss')


def check_kd(case):
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


# -------------------------------------------------------------------- models
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


LINEAR = dict(type='LinearClsHead', num_classes=4, in_channels=8)


def masked_cases():
    yield from read('loss_msk') or []


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


def check_masked_loss(case):
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
        noise = tensor(read('masking_multi2')['noises'])
    loss = head.loss
    head.loss = lambda *args: loss(*args, noise=noise)
    feats = given['feats'].clone().requires_grad_()
    losses = model.loss(feats, samples())
    assert set(losses) == {'loss_ce', 'loss_msk'}
    # Of several masks the original takes the mean twice.
    again = multi
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
    for name, a, b in zip(('feats', 'b'), ce, msk):
        # The original's total has the cross entropy twice.
        close(2 * a + b / again, case[f'grad_total_{name}'])


def kd_cases():
    yield from read('loss_kd') or []


def check_kd_case(case):
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


# ------------------------------------------------------------------ teachers
class Source(nn.Module):
    """What the averages of the file are of."""

    def __init__(self, case):
        super().__init__()
        self.fc = nn.Linear(2, 1)
        self.bn = nn.BatchNorm1d(1)
        self.case = case
        self.at(0)

    def at(self, t):
        base, delta = (torch.tensor(self.case[k]) for k in ('base', 'delta'))
        with torch.no_grad():
            self.fc.weight.copy_(base + t * delta)
            self.bn.running_mean.fill_(t)
        return self


OPTIONS = {
    'ema_m0.2': dict(momentum=0.2),
    'ema_m0.05': dict(momentum=0.05),
    'ema_default': dict(),
    'ema_m0.2_interval2': dict(momentum=0.2, interval=2),
    'anne_m0.2_gamma100': dict(mode='anne', momentum=0.2, gamma=100),
    'anne_m0.2_gamma2': dict(mode='anne', momentum=0.2, gamma=2),
    'anne_default': dict(mode='anne'),
    'sto': dict(mode='sto'),
    'sto_interval2': dict(mode='sto', interval=2),
}


def averages():
    found = read('ema')
    for name in OPTIONS:
        if name in found:
            common = {key: found[key] for key in ('base', 'delta')}
            yield dict(found[name], name=name, **common)


def check_average(case):
    source = Source(case)
    teacher = EMATeacher(**OPTIONS[case['name']])
    teacher.attach(source)
    own = teacher.average.module
    expected = case['weight_after_each_update']
    means = case['bn_running_mean_copied']
    close(own.fc.weight, expected[0], 1e-6)
    for t in range(1, len(expected)):
        teacher.update(source.at(t))
        close(own.fc.weight, expected[t], 1e-6)
        assert float(own.bn.running_mean) == means[t]
    assert int(teacher.average.steps) == case['steps']
    found = [p.requires_grad for p in teacher.parameters()]
    assert found == case['requires_grad']


# How the original's schedules are written here.
SCHEDULES = dict(
    kd_start25_every5_max50=dict(begin=30, interval=5),
    mask_start25_every1_max50=dict(begin=26, interval=1),
    kd_start1_every5_max50=dict(begin=5, interval=5),
)


def schedules():
    found = read('schedule')
    for name in SCHEDULES:
        if name in found:
            yield dict(name=name, epochs=found[name])


def check_schedule(case):
    teacher = SnapshotTeacher(**SCHEDULES[case['name']])
    found = []
    for epoch in range(50):
        if teacher.due(epoch):
            found.append(epoch)
            teacher._start()
    assert found == case['epochs']


PERTURBATIONS = {
    'order': (check_inputs, inputs_case, bump('ids_shuffle')),
    'count': (check_count, counts, bump('count')),
    'masked': (check_masking, maskings, bump('expected', 'x_mask')),
    'complement': (check_masking, maskings, bump('expected', 'x_mask_inv')),
    'distillation': (check_kd, kd_losses, bump('teacher_entropy_T2')),
    'masked loss': (
        check_masked_loss,
        masked_cases,
        bump('losses', 'loss_msk'),
    ),
    'total': (check_masked_loss, masked_cases, bump('total_fixed')),
    'gradient': (check_masked_loss, masked_cases, bump('grad_msk_W')),
    'token gradient': (
        check_masked_loss,
        masked_cases,
        bump('grad_msk_smask_token'),
    ),
    'KD gradient': (check_kd_case, kd_cases, bump('grad_kd_feats')),
    'average': (
        check_average,
        averages,
        changed(lambda c: c['weight_after_each_update'][3][0].reverse()),
    ),
    'schedule': (check_schedule, schedules, bump('epochs')),
}
