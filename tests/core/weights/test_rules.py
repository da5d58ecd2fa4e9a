# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What becomes of each parameter, and what wrong rules say."""

import copy

import pytest
import torch
from torch import nn

from mask_plugins.core.weights import (
    Rule,
    ScoreMask,
    SoftMask,
    apply_weight_masks,
    named_masks,
)

from . import nets


def actions(rules, model=None):
    """Name -> action, of a dry run."""
    rows = apply_weight_masks(model or nets.Small(), rules, ScoreMask, True)
    return {row.name: row.action for row in rows}


def test_the_first_match_decides():
    found = actions(
        [('conv2.weight', 'train'), ('conv*', 'mask'), ('*', 'freeze')]
    )
    assert found == {
        'conv1.weight': 'mask',
        'bn.weight': 'freeze',
        'bn.bias': 'freeze',
        'conv2.weight': 'train',
        'conv2.bias': 'mask',
        'head.weight': 'freeze',
        'head.bias': 'freeze',
    }


def test_what_no_rule_matches_stays():
    model = nets.Small()
    model.bn.requires_grad_(False)
    apply_weight_masks(model, [('head.weight', 'mask')], ScoreMask)
    assert model.conv1.weight.requires_grad
    assert not model.bn.weight.requires_grad
    assert not model.head.weight.requires_grad
    assert [item.name for item in named_masks(model)] == ['head.weight']


@pytest.mark.parametrize(
    ('pattern', 'expected'),
    [
        ('re:conv[12].weight', {'conv1.weight', 'conv2.weight'}),
        ('type:Conv2d.weight', {'conv1.weight', 'conv2.weight'}),
        ('type:_ConvNd.bias', {'conv2.bias'}),  # a base of it
        ('type:_Norm*', {'bn.weight', 'bn.bias'}),
        ('type:*Linear', {'head.weight', 'head.bias'}),
        (lambda name, p: p.dim() == 4, {'conv1.weight', 'conv2.weight'}),
    ],
)
def test_patterns(pattern, expected):
    found = actions([(pattern, 'mask')])
    assert {n for n, action in found.items() if action == 'mask'} == expected


def test_forms_of_a_rule_and_their_options():
    rules = [
        Rule('conv1.weight', 'mask', dict(init=0.2)),
        ('conv2.weight', 'mask', dict(init=0.3)),
        dict(pattern='head.weight', action='mask', init=0.4),
        dict(pattern='*', action='train'),
    ]
    model = apply_weight_masks(nets.Small(), rules, SoftMask)
    inits = [item.mask.init for item in named_masks(model)]
    assert inits == [0.2, 0.3, 0.4]
    assert all(p.requires_grad for p in model.parameters())


def test_dry_run_prints_and_changes_nothing(capsys):
    model = nets.Small()
    before = copy.deepcopy(model.state_dict())
    rows = apply_weight_masks(model, nets.SMALL_RULES, ScoreMask, dry_run=True)
    said = capsys.readouterr().out
    assert len(rows) == 7
    assert 'conv1.weight  4x2x3x3  conv*.weight  mask' in said
    assert said.splitlines()[-1] == 'elements: freeze 12, mask 216, train 15'
    assert type(model.conv1) is nn.Conv2d
    assert model.state_dict().keys() == before.keys()
    assert all(p.requires_grad for p in model.parameters())


def test_dry_run_names_what_is_tied(capsys):
    apply_weight_masks(nets.TiedPair(), [('*', 'mask')], ScoreMask, True)
    said = capsys.readouterr().out
    assert 'mask (tied to embed.weight)' in said
    assert said.splitlines()[-1] == 'elements: mask 48'


def test_a_second_call_leaves_the_first_masks_alone():
    model = apply_weight_masks(nets.Small(), [('conv1.*', 'mask')], SoftMask)
    apply_weight_masks(
        model, [('conv2.weight', 'mask'), ('*', 'freeze')], ScoreMask
    )
    logits = model.conv1.weight_mask.logits
    assert logits.requires_grad
    assert isinstance(model.conv2.weight_mask, ScoreMask)


def wrong():
    near = r'the rule convv1.weight matches no .* near names: conv1.weight'
    yield [('convv1.weight', 'mask')], ValueError, near
    yield [('type:Conv9d', 'mask')], ValueError, r"classes: \['BatchNorm2d'"
    yield [('*', 'prune')], ValueError, "one of .*, got 'prune'"
    yield [], ValueError, 'at least one rule'
    yield 'conv*', TypeError, 'must be a list'
    yield [('conv*',)], TypeError, 'a rule must be'
    yield [(3, 'mask')], TypeError, 'the pattern of a rule must be a str'
    yield [('*', 'train', dict(k=1))], ValueError, 'only a rule with action'
    yield [('head.*', 'mask', dict(k=1))], TypeError, 'mask of head.weight:'
    yield [('*', 'mask', dict(init=99.0))], ValueError, 'mask of conv1.weight'


@pytest.mark.parametrize(('rules', 'error', 'message'), wrong())
def test_wrong_rules(rules, error, message):
    """After the error the model is what it was."""
    model = nets.Small()
    with pytest.raises(error, match=message):
        apply_weight_masks(model, rules, SoftMask)
    assert not list(named_masks(model))
    assert all(p.requires_grad for p in model.parameters())


def test_masked_twice():
    model = apply_weight_masks(nets.Small(), [('conv*', 'mask')], SoftMask)
    with pytest.raises(ValueError, match='conv1.weight is masked already'):
        apply_weight_masks(model, [('*.weight', 'mask')], SoftMask)
    assert type(model.head) is nn.Linear


def test_not_a_mask():
    with pytest.raises(TypeError, match='must be a WeightMask.*Identity'):
        apply_weight_masks(nets.Small(), [('*', 'mask')], nn.Identity)


@pytest.mark.parametrize(
    'rules',
    [
        [('embed.*', 'mask')],
        [('embed.*', 'mask'), ('out.*', 'freeze')],
        [('embed.*', 'mask', dict(init=0.1)), ('out.*', 'mask')],
    ],
)
def test_rules_of_tied_names_must_agree(rules):
    message = 'embed.weight and out.weight are one tied'
    with pytest.raises(ValueError, match=message):
        apply_weight_masks(nets.TiedPair(), rules, SoftMask)


@pytest.mark.parametrize(
    ('mask', 'arguments', 'message'),
    [
        (ScoreMask, dict(init='uniform'), "init must be .*got 'uniform'"),
        (ScoreMask, dict(init=lambda w: w[:1]), r'scores of shape \(1, 2\)'),
        (ScoreMask, dict(keep_ratio=2.0, criterion='topk'), 'got 2.0'),
        (ScoreMask, dict(chunks=3), 'chunks=3 does not divide'),
        (ScoreMask, dict(criterion='flip'), 'needs scale=False'),
        (SoftMask, dict(init=float('nan')), 'init must be .*got nan'),
        (SoftMask, dict(ticket_scale='two'), "ticket_scale .*got 'two'"),
    ],
)
def test_wrong_arguments_of_a_mask(mask, arguments, message):
    with pytest.raises(ValueError, match=message):
        mask(torch.zeros(4, 2), **arguments)


def same_values(scores, weight):
    """In another order."""
    moved = not torch.equal(scores, weight.abs())
    values = [t.abs().flatten().sort().values for t in (scores, weight)]
    return moved and torch.equal(*values)


@pytest.mark.parametrize(
    ('init', 'check'),
    [
        (0.5, lambda s, w: torch.equal(s, torch.full_like(s, 0.5))),
        ('kaiming', lambda s, w: 0.3 < (s > 0).float().mean() < 0.7),
        (dict(type='normal', mean=3, std=0), lambda s, w: (s == 3).all()),
        (
            dict(type='magnitude', std=0.0),
            lambda s, w: torch.equal(s, w.abs()),
        ),
        (dict(type='magnitude', std=0.0, shuffle=True), same_values),
        (torch.abs, lambda s, w: torch.equal(s, w.abs())),
    ],
)  # fmt: skip
def test_initial_scores(init, check):
    weight = torch.randn(16, 9)
    assert check(ScoreMask(weight, init=init).scores.detach(), weight)
