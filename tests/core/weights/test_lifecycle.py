# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Switch off, hold, collect, merge, unmerge, report, make tickets."""

import copy

import pytest
import torch
from torch import nn

from mask_plugins.core.weights import (
    ScoreMask,
    SoftMask,
    SoftMaskConv2d,
    SoftMaskLinear,
    apply_weight_masks,
    collect_sums,
    disable_masks,
    hold_masks,
    make_ticket,
    mask_report,
    merge_masks,
    named_masks,
    unmerge_masks,
)
from tests.common.equal import assert_equal

from . import nets

pytestmark = pytest.mark.usefixtures('kernels')
KINDS = list(nets.KINDS)
X = nets.small_input()


@pytest.mark.parametrize('kind', KINDS)
def test_disable_masks(kind):
    model, base = nets.masked_small(kind).eval(), nets.small_base().eval()
    masked = model(X)
    with disable_masks(model):
        assert torch.equal(model(X), base(X))
        with disable_masks(model):
            pass
        assert torch.equal(model(X), base(X))
    assert torch.equal(model(X), masked)
    with pytest.raises(KeyError), disable_masks(model):
        raise KeyError
    assert torch.equal(model(X), masked)


def test_disable_masks_while_they_are_held():
    model, base = nets.masked_small().eval(), nets.small_base().eval()
    with hold_masks(model):
        masked = model(X)
        with disable_masks(model):
            assert torch.equal(model(X), base(X))
        assert torch.equal(model(X), masked)


def test_hold_masks_computes_once():
    model = nets.masked_small()
    expected = model.eval()(X)
    calls = []
    mask = model.conv1.weight_mask
    mask.register_forward_hook(lambda *args: calls.append(1))
    with hold_masks(model):
        loss = sum(model(X).sum() for _ in range(3))
        assert len(calls) == 1
        copy.deepcopy(model)  # what is held is not a part of it
    loss.backward()
    assert torch.equal(model(X), expected)
    gradient = mask.scores.grad.clone()
    model.zero_grad()
    (3 * model(X).sum()).backward()
    torch.testing.assert_close(mask.scores.grad, gradient)


@pytest.mark.parametrize('used', ['all', 'none'])
@pytest.mark.parametrize('ticket', [False, True])
def test_collected_sums_are_the_penalty(used, ticket):
    """In value and gradient, whether a forward passes by them or not."""
    model = nets.masked_small('soft')
    masks = [item.mask for item in named_masks(model)]
    for mask in masks:
        mask.ticket = ticket
    with collect_sums(model) as sums:
        if used == 'all':
            model(X)
    found = torch.stack(sums).sum()
    expected = sum(mask.sum() for mask in masks)
    assert torch.equal(found, expected)
    by_hand = sum(mask(torch.ones_like(mask.logits)).sum() for mask in masks)
    torch.testing.assert_close(found, by_hand)
    assert found.requires_grad is not ticket
    if not ticket:
        logits = [mask.logits for mask in masks]
        ours = torch.autograd.grad(found, logits)
        theirs = torch.autograd.grad(by_hand, logits)
        torch.testing.assert_close(ours, theirs)
    assert all(mask._sums is None for mask in masks)


@pytest.mark.parametrize('kind', KINDS)
def test_merge_and_unmerge(kind):
    model = nets.masked_small(kind).eval()
    base = nets.small_base()
    before = copy.deepcopy(model.state_dict())
    masked = model(X).detach()
    merged = merge_masks(model, keep=True)
    assert merged is model
    assert nets.classes(model) == nets.classes(base)
    assert model.state_dict().keys() == base.state_dict().keys()
    assert torch.equal(model(X), masked)
    with pytest.raises(ValueError, match='has no masks'):
        merge_masks(model)
    unmerge_masks(model)
    assert_equal(model.state_dict(), before)
    assert torch.equal(model(X), masked)
    with pytest.raises(ValueError, match='nothing was kept'):
        unmerge_masks(model)


def test_merge_of_a_ticket():
    for scale, factor in (('keep', 1 + 2.718281828459045**0.1), ('one', 1)):
        layer = SoftMaskConv2d(2, 3, 3, mask_init=-0.1, ticket_scale=scale)
        nets.randomize(layer)
        make_ticket(layer)
        kept = layer.weight.detach() * layer.weight_mask.hard()
        found = merge_masks(layer).weight
        torch.testing.assert_close(found, kept * factor)
        assert type(layer) is nn.Conv2d


def test_registered_layers():
    conv = SoftMaskConv2d(
        4, 6, (3, 5), 2, (1, 2), 1, 2, False, 'circular', mask_init=0.1
    )
    assert isinstance(conv, nn.Conv2d)
    assert 'Conv2d' in [base.__name__ for base in type(conv).__bases__]
    assert set(conv.state_dict()) == {
        'weight',
        'weight_mask.logits',
        'weight_mask.setting_bits',
        'weight_mask.ticket_flag',
    }
    stock = nn.Conv2d(4, 6, (3, 5), 2, (1, 2), 1, 2, False, 'circular')
    stock.load_state_dict(conv.state_dict(), strict=False)
    x = torch.randn(2, 4, 9, 9)
    torch.testing.assert_close(conv(x), stock(x))
    linear = SoftMaskLinear(4, 3, bias=False, dtype=torch.float64)
    assert linear.weight_mask.logits.dtype == torch.float64
    assert linear.bias is None


@pytest.mark.parametrize('scope', ['global', 'layer'])
@pytest.mark.parametrize('by', ['logit', 'magnitude', 'random'])
def test_a_ticket_of_exact_sparsity(by, scope):
    model = nets.masked_small('soft')
    generator = torch.Generator().manual_seed(1)
    make_ticket(model, 0.75, scope, by, generator)
    report = mask_report(model)
    assert report.size - report.kept == 162
    assert report.sparsity == 0.75
    for item in named_masks(model):
        assert item.mask.ticket
        assert not item.mask.logits.requires_grad
        assert item.parameter.requires_grad


def test_report():
    model = apply_weight_masks(
        nets.Small(), nets.SMALL_RULES, lambda w: SoftMask(w, init=-0.1)
    )
    report = mask_report(model)
    names = [row.name for row in report.rows]
    assert report.empty == names == ['conv1.weight', 'conv2.weight']
    assert (report.size, report.kept, report.density) == (216, 0, 0)
    assert report.soft_density == pytest.approx(1 / (1 + 2.71828182846**0.1))
    assert report.parameters == 243
    assert report.packed_bytes == 9 + 18
    assert report.float_bytes == 864
    assert 'conv1.weight' in str(report)
    assert report.to_dict()['masks'][0]['shape'] == (4, 2, 3, 3)
    with torch.no_grad():
        model.conv1.weight_mask.logits[0, 0, 0, 0] = torch.nan
        model.conv2.weight_mask.logits.fill_(1)
    report = mask_report(model)
    assert report.not_finite == ['conv1.weight']
    assert report.density == 144 / 216
    assert report.density_of_model == 1 - 72 / 243
    assert mask_report(nets.Small()).rows == []


def test_state_of_a_score_mask():
    mask = ScoreMask(torch.zeros(4), criterion='topk', keep_ratio=0.5)
    mask.keep_ratio = 0.25
    other = ScoreMask(torch.zeros(4), criterion='topk', keep_ratio=0.9)
    other.load_state_dict(mask.state_dict())
    assert other.keep_ratio == 0.25
    assert int(other.hard().sum()) == 1
    with pytest.raises(ValueError, match='got 1.5'):
        mask.keep_ratio = 1.5
    assert mask.keep_ratio == 0.25


def test_no_ticket_without_soft_masks():
    with pytest.raises(ValueError, match='has no soft masks'):
        make_ticket(nets.masked_small('score'))
    for wrong in (dict(by='size'), dict(sparsity=1.0), dict(sparsity=-0.1),
                  dict(sparsity=0.5, scope='net')):  # fmt: skip
        with pytest.raises(ValueError, match='must be'):
            make_ticket(nets.masked_small('soft'), **wrong)
