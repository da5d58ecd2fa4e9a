# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""HGSL and its metrics against the values of the authors' code."""

import torch
from mmpretrain.structures import DataSample

from mask_plugins.functional.hgsl import (
    center_distances,
    hard_softmin,
    unit_rows,
)
from mask_plugins.functional.retrieval import MEASURES, evaluate_retrieval
from mask_plugins.models.heads import HardGlobalSoftminHead

from .golden import Case, bump, close, tensor
from .test_continuous_sparsification import golden

CLASSES, WIDTH = 5, 6


def det2(shape, a, b, s=1.0):
    """The inputs of the golden file."""
    count = torch.Size(shape).numel()
    index = torch.arange(count, dtype=torch.float64)
    return (s * torch.sin(a * index * index + b)).view(shape)


def losses(key, found):
    for case in found['cases']:
        yield Case(case, labels=found['inputs']['labels'])


def head_of(case):
    head = HardGlobalSoftminHead(
        CLASSES,
        WIDTH,
        top_k=case['k'],
        alpha_init=case['alpha'],
        margin=case['margin'],
    ).double()
    with torch.no_grad():
        weight = det2((CLASSES, WIDTH), 0.53, 0.1)
        head.weight.copy_(weight)
        head.gain.copy_(weight.norm(dim=1, keepdim=True))
        head.alpha.copy_(tensor(case['alpha']))
    return head


@golden(
    'hgsl_loss',
    'alpha{alpha}-k{k}-margin{margin}',
    losses,
    loss=bump('hard_loss'),
    decorrelation=bump('decor'),
    gradient=bump('grad_V', by=1e-6),
    alpha_gradient=bump('grad_alpha'),
)
def test_loss(case):
    """Loss, both parts, and all gradients; any margin gives the same."""
    head = head_of(case)
    feat = det2((4, WIDTH), 0.37, 0.2).requires_grad_()
    samples = [DataSample().set_gt_label(i) for i in case['labels']]
    found = head.loss((feat,), samples)
    close(found['loss_hgs'], case['hard_loss'])
    close(found['loss_dec'], 0.1 * case['decor'])
    total = found['loss_hgs'] + found['loss_dec']
    close(total, case['total_lambda0.1'])
    total.backward()
    for gradient, key in (
        (feat.grad, 'grad_feat'),
        (head.weight.grad, 'grad_V'),
        (head.gain.grad, 'grad_g'),
        (head.alpha.grad, 'grad_alpha'),
    ):
        close(gradient, case[key], 1e-9, 1e-11)


@golden('hgsl_loss', distance=bump('dist'))
def test_distances_and_extremes(case):
    """Distances, the decorrelation, and what is not finite there."""
    weight = det2((CLASSES, WIDTH), 0.53, 0.1)
    centers = weight / weight.norm(dim=1, keepdim=True)
    feat = unit_rows(det2((4, WIDTH), 0.37, 0.2))
    close(center_distances(feat, centers), case['dist'])
    first = dict(case['cases'][0], labels=[0, 1, 2, 3])
    samples = [DataSample().set_gt_label(i) for i in range(4)]
    dec = head_of(first).float().loss((feat.float(),), samples)['loss_dec']
    close(dec, 0.1 * case['ref_DGLoss_float32'], 1e-5)
    for key in ('float32_overflow', 'float32_underflow'):
        bug = case[key]
        logits = torch.tensor([bug['z']])
        ours = hard_softmin(logits, torch.tensor([bug['label']]), 3)
        assert ours.isfinite(), key
        exact = torch.logsumexp(tensor(bug['z']), 0) - bug['z'][bug['label']]
        last = torch.finfo(torch.float32).eps * max(map(abs, bug['z']))
        assert abs(ours.double() - exact) < 2 * last


@golden(
    'retrieval_metrics',
    recall=bump('recall'),
    map_at_r=bump('self_excluded', 'MAP@R (Musgrave)'),
)
def test_retrieval(case):
    labels = torch.tensor(case['labels'])
    feats = tensor(case['feats_values']).view(len(labels), -1)
    ours = evaluate_retrieval(
        feats, labels, ks=(1, 2, 4, 5), measures=MEASURES, chunk=5
    )
    standard = case['self_excluded']
    compared = 0
    for source, key, name in (
        (case, 'recall', 'recall'),
        (case, 'precision', 'precision'),
        (case, 'mAP_ref(hits-in-k normaliser)', 'authors_map'),
        (standard, 'recall', 'recall'),
    ):
        for k, expected in source[key].items():
            close(ours[f'{name}@{k}'], expected)
            compared += 1
    assert compared == 13
    close(ours['map_at_r'], standard['MAP@R (Musgrave)'])
    close(ours['r_precision'], standard['R-precision'])
    whole = standard['mAP@k_div_R (mmpretrain IR, self excluded)']['11']
    close(ours['map'], whole)
