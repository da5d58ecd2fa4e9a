# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masks over channels, and distances of logits; values are in golden."""

import pytest
import torch

from mask_plugins.core.features import (
    add_inverse,
    complement_features,
    drop_features,
    mask_count,
    mask_features,
    random_channel_mask,
)
from mask_plugins.functional.distillation import (
    distillation_loss,
    logit_distance,
)


def test_each_sample_has_a_mask_of_its_own():
    x = torch.randn(64, 20)
    mask = random_channel_mask(x, 0.3)
    assert mask.count == 6
    assert mask.mask.sum(1).tolist() == [6] * 64
    assert len({tuple(row) for row in mask.mask.tolist()}) > 32
    # Every channel is masked about equally often.
    big = random_channel_mask(torch.empty(4000, 10), 0.5).mask.double()
    assert (big.mean(0) - 0.5).abs().max() < 0.05


def test_the_generator_decides():
    x = torch.randn(4, 20)
    a, b, c = (
        random_channel_mask(
            x, 0.5, generator=torch.Generator().manual_seed(seed)
        ).mask
        for seed in (1, 1, 2)
    )
    assert a.equal(b)
    assert not a.equal(c)


@pytest.mark.parametrize('token', [None, torch.tensor([[2.0]])])
def test_complement(token):
    x = torch.randn(5, 12)
    mask = random_channel_mask(x, 0.25)
    masked = mask_features(x, mask, token)
    rest = complement_features(x, mask, token)
    torch.testing.assert_close(masked + rest, x + (0 if token is None else 2))
    fill = 0 if token is None else 2
    assert (masked[mask.mask] == fill).all()
    assert rest[mask.mask].equal(x[mask.mask])


def test_token_of_a_rank():
    x = torch.zeros(1, 4)
    noise = torch.tensor([[0.9, 0.1, 0.2, 0.8]])
    mask = random_channel_mask(x, 0.5, noise)
    token = torch.tensor([[5.0, 7.0, 9.0, 11.0]], requires_grad=True)
    masked = mask_features(x, mask, token)
    assert masked.tolist() == [[7, 0, 0, 5]]
    masked.sum().backward()
    assert token.grad.tolist() == [[1, 1, 0, 0]]  # the others are not used
    x = torch.zeros(1, 6)
    mask = random_channel_mask(x, 0.5)
    with pytest.raises(ValueError, match='1 element or at least 3, .* got 2'):
        mask_features(x, mask, token[:, :2])


def test_half_precision_keeps_its_type():
    x = torch.randn(3, 8, dtype=torch.bfloat16)
    mask = random_channel_mask(x, 0.5)
    for token in (None, torch.ones(1, 1), torch.ones(1, 8)):
        assert mask_features(x, mask, token).dtype == torch.bfloat16
    assert drop_features(x, 0.5).dtype == torch.bfloat16


def test_dropout_keeps_the_mean():
    found = drop_features(torch.ones(200, 200), 0.3)
    assert abs(float(found.mean()) - 1) < 0.03
    assert set(found.unique().tolist()) == {0, found.max().item()}


@pytest.mark.parametrize('ratio', [0, 1, -0.1, 1.5, True, '0.5', None])
def test_ratio_outside(ratio):
    wrong = pytest.raises(
        (TypeError, ValueError), match=r'ratio must be .* in \(0, 1\)'
    )
    for function in (random_channel_mask, drop_features):
        with wrong:
            function(torch.zeros(2, 4), ratio)
    with wrong:
        mask_count(10, ratio)


WIDE, LOGITS = torch.zeros(2, 4), torch.zeros(2, 3)
WRONG = [
    (random_channel_mask, (WIDE[..., None], 0.5), 'GlobalAveragePooling'),
    (random_channel_mask, (WIDE, 0.5, WIDE[:1]), 'noise must have the shape'),
    (add_inverse, (WIDE, WIDE, WIDE, 'none'), "'subtract'.* got 'none'"),
    (distillation_loss, (LOGITS, LOGITS, 0), 'temperature .* got 0'),
    (distillation_loss, (LOGITS, LOGITS, 1, 'js'), "kind must .* got 'js'"),
    (distillation_loss, (LOGITS, WIDE), r'\(2, 3\) and \(2, 4\)'),
    (logit_distance, (LOGITS, LOGITS, 'l3'), "kind must be .* got 'l3'"),
]


@pytest.mark.parametrize(('function', 'arguments', 'message'), WRONG)
def test_bad_input(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


def test_distillation():
    pred = torch.randn(6, 5, requires_grad=True)
    target = torch.randn(6, 5, requires_grad=True)
    assert distillation_loss(target, target).abs() < 1e-6
    for kind in ('kl', 'cross_entropy'):
        distillation_loss(pred, target, kind=kind).backward()
    assert target.grad is None
    distillation_loss(pred, target, detach_target=False).backward()
    assert target.grad is not None
    # The gradient of KL is that of the cross entropy.
    a, b = (
        torch.autograd.grad(distillation_loss(pred, target, 3, kind), pred)[0]
        for kind in ('kl', 'cross_entropy')
    )
    torch.testing.assert_close(a, b)
    # T^2 keeps the size of gradients.
    sizes = [
        torch.autograd.grad(distillation_loss(pred, target, t), pred)[0].norm()
        for t in (20.0, 40.0)
    ]
    assert sizes[0] / sizes[1] == pytest.approx(1, rel=0.2)
    half = distillation_loss(pred.bfloat16(), target.bfloat16())
    assert half.dtype == torch.float32


@pytest.mark.parametrize('kind', ['l2', 'l1', 'cosine'])
def test_distance(kind):
    x = torch.randn(6, 5)
    for softmax in (False, True):
        best = logit_distance(x, x, kind, softmax)
        assert best == pytest.approx(-1 if kind == 'cosine' else 0, abs=1e-6)
        assert logit_distance(x, -x, kind, softmax) > best
