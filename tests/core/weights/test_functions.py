# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The functions of masks: values, gradients, odd input."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from mask_plugins.core.weights import (
    keep_highest,
    score_mask,
    score_masked_weight,
    soft_mask,
    soft_masked_weight,
    soft_scale,
    ticket_mask,
)

SCALES = [(True, 1), (True, 3), (False, 1)]
LEVELS = [('threshold', 0.1), ('topk', 0.3)]


def pair(shape=(6, 4), seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    options = dict(generator=generator, dtype=dtype)
    weight = torch.randn(shape, **options).requires_grad_()
    scores = torch.randn(shape, **options).requires_grad_()
    return weight, scores


def plain_product(weight, scores, criterion, k, scale, chunks):
    """The same, of separate operations and automatic gradients."""
    mask = score_mask(scores, criterion, k, chunks)
    product = weight * mask
    if not scale:
        return product
    rows = mask.reshape(chunks, -1)
    factor = (rows.shape[1] / rows.sum(1).clamp(min=1)).sqrt()
    factor = factor.repeat_interleave(len(weight) // chunks)
    return product * factor.view(-1, *[1] * (weight.dim() - 1))


def gradients(function, weight, scores, *args):
    product = function(weight, scores, *args)
    generator = torch.Generator().manual_seed(5)
    grad = torch.randn(product.shape, generator=generator).to(product)
    return product, *torch.autograd.grad(product, (weight, scores), grad)


# -------------------------------------------------------------- the products
@pytest.mark.parametrize(
    'args',
    [
        *((*level, *scale) for level in LEVELS for scale in SCALES),
        ('flip', 0.0, False, 1),
    ],
)
def test_score_product(args):
    """The fused product is the plain one, in value and gradients."""
    weight, scores = pair((6, 2, 3, 3))
    fused = gradients(score_masked_weight, weight, scores, *args)
    plain = gradients(plain_product, weight, scores, *args)
    torch.testing.assert_close(fused, plain, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(('scale', 'chunks'), SCALES)
def test_gradcheck_of_the_weight(scale, chunks):
    """Of the scores there is none: straight-through is no derivative."""
    weight, scores = pair()
    args = (scores.detach(), 'threshold', 0.0, scale, chunks)
    assert gradcheck(lambda w: score_masked_weight(w, *args), weight)


def test_gradcheck_of_soft_product():
    weight, logits = pair()
    temperature = torch.tensor(2.5, dtype=torch.float64)

    def product(weight, logits):
        return soft_masked_weight(weight, logits, temperature, 1.7)

    assert gradcheck(product, (weight, logits))
    found, total = product(weight, logits)
    mask = soft_mask(logits, 2.5, 1.7)
    torch.testing.assert_close(found, weight * mask)
    torch.testing.assert_close(total, mask.sum())


@pytest.mark.parametrize('kind', ['soft', 'score'])
def test_a_second_derivative_is_refused(kind):
    weight, scores = pair()
    product = score_masked_weight(weight, scores)
    if kind == 'soft':
        temperature = torch.ones((), dtype=torch.float64)
        product = soft_masked_weight(weight, scores, temperature, 2.0)[0]
    (first,) = torch.autograd.grad(
        product.square().sum(), scores, create_graph=True
    )
    with pytest.raises(RuntimeError, match='once_differentiable'):
        first.sum().backward()


@pytest.mark.parametrize('frozen', ['weight', 'scores'])
def test_only_what_is_asked_for_has_a_gradient(frozen):
    weight, scores = pair()
    dict(weight=weight, scores=scores)[frozen].requires_grad_(False)
    score_masked_weight(weight, scores).sum().backward()
    assert (weight.grad is None) is (frozen == 'weight')
    assert (scores.grad is None) is (frozen == 'scores')


@pytest.mark.parametrize('layouts', ['both', 'weight', 'scores'])
@pytest.mark.parametrize(('criterion', 'k'), LEVELS)
def test_channels_last(criterion, k, layouts):
    weight, scores = pair((6, 4, 3, 3))
    expected = gradients(score_masked_weight, weight, scores, criterion, k)
    last = dict(memory_format=torch.channels_last)
    if layouts != 'scores':
        weight = weight.detach().to(**last).requires_grad_()
    if layouts != 'weight':
        scores = scores.detach().to(**last).requires_grad_()
    found = gradients(score_masked_weight, weight, scores, criterion, k)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


# ------------------------------------------------------------------ odd input
@pytest.mark.parametrize('chunks', [1, 3])
def test_all_off(chunks):
    weight, scores = pair()
    product, of_weight, of_scores = gradients(
        score_masked_weight, weight, scores, 'threshold', 9.0, True, chunks
    )
    assert not product.any()
    assert not of_weight.any()
    assert of_scores.isfinite().all()
    assert of_scores.any()  # it can come back


def test_a_chunk_may_be_empty():
    """The others are what they are for themselves."""
    weight, scores = pair()
    with torch.no_grad():
        scores[:2] = -1.0
    product = score_masked_weight(weight, scores, chunks=3)
    assert not product[:2].any()
    for part in (slice(2, 4), slice(4, 6)):
        alone = score_masked_weight(weight[part], scores[part])
        torch.testing.assert_close(product[part], alone)


def test_all_on_is_the_weight_itself():
    weight, scores = pair(dtype=torch.float32)
    for criterion, k in (('threshold', -9.0), ('topk', 1.0)):
        product = score_masked_weight(weight, scores, criterion, k)
        assert torch.equal(product, weight)
    logit = torch.tensor(-0.1, dtype=torch.float64)
    one = soft_scale(-0.1) * torch.sigmoid(logit)
    assert float(one) == pytest.approx(1, rel=1e-15)


def test_threshold_is_strict_and_may_be_negative():
    scores = torch.tensor([-1.0, -0.5, 0.0, 0.5])
    assert score_mask(scores, level=0).tolist() == [0, 0, 0, 1]
    assert score_mask(scores, level=-0.5).tolist() == [0, 0, 1, 1]
    flipped = score_mask(scores, 'flip', -0.5)
    assert flipped.tolist() == [-1, -1, 1, 1]


@pytest.mark.parametrize(('k', 'kept'), [(0, 0), (0.2, 2), (0.5, 3), (1, 6)])
def test_topk_keeps_an_exact_count(k, kept):
    """What is off is rounded down: 0.8 * 6 is 4."""
    ties = torch.zeros(6)
    found = score_mask(ties, 'topk', k).tolist()
    assert found == [0] * (6 - kept) + [1] * kept
    assert score_mask(torch.arange(6.0), 'topk', k).sum() == kept
    some = torch.tensor([1.0, 2.0, 2.0, 2.0, 0.0, 3.0])
    mask = score_mask(some, 'topk', 0.5)
    assert mask.tolist() == [0, 0, 1, 1, 0, 1]


def test_topk_ranks_each_chunk():
    scores = torch.arange(12.0).view(6, 2)
    whole = score_mask(scores, 'topk', 0.5)
    assert whole.flatten().tolist() == [0] * 6 + [1] * 6
    parts = score_mask(scores, 'topk', 0.5, chunks=3)
    assert parts.flatten().tolist() == [0, 0, 1, 1] * 3


def test_nan_and_infinity():
    scores = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.1])
    assert score_mask(scores).tolist() == [0, 1, 0, 1]
    assert score_mask(scores, 'topk', 0.5).tolist() == [0, 1, 0, 1]
    assert score_mask(scores, 'flip').tolist() == [-1, 1, -1, 1]
    assert ticket_mask(scores, 3.0).tolist() == [0, 3, 0, 3]
    product = score_masked_weight(torch.ones(4), scores)
    assert product.isfinite().all()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(criterion='top'), r"criterion must be one of .*, got 'top'"),
        (dict(level=math.nan), r'\blevel\b.* must be a number.*got nan'),
        (dict(criterion='topk', level=1.5), r'in \[0, 1\], got 1.5'),
        (dict(criterion='topk', level=-0.1), r'in \[0, 1\], got -0.1'),
        (dict(chunks=4), r'chunks=4 does not divide .* \(6, 4\)'),
        (dict(chunks=0), 'chunks must be an int of at least 1, got 0'),
        (dict(criterion='flip'), 'needs scale=False'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        score_masked_weight(*pair(), **arguments)


def test_keep_highest():
    values = [torch.tensor([3.0, 1.0]), torch.tensor([[2.0, 2.0], [0.0, 4.0]])]
    on = keep_highest(values, 0.5)
    assert [o.tolist() for o in on] == [[True, False], [[1, 0], [0, 1]]]
    on = keep_highest(values, 0.5, 'layer')
    assert [int(o.sum()) for o in on] == [1, 2]
    assert all(o.all() for o in keep_highest(values, 0.0))
