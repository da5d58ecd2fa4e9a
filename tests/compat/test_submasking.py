# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The authors' interface of Self-Masking Networks.

Its golden runs are in ``tests/golden/test_self_masking``.
"""

import pytest
import torch
from torch import nn

from mask_plugins.compat.subnetworks.submasking import (
    MaskedLinear,
    SubmaskedModel,
    default_scores_init,
    magnitude_scores_init,
    normal_scores_init,
    positive_scores_init,
)

from ..golden import test_self_masking as checks
from ..golden.golden import named
from .test_submasking_checkpoints import Names

OPTIONS = dict(k=0, scale=True, criterion='threshold', shell_mode='copy')
X = checks.fill((4, 2, 5, 5), 0.37, 0.1)


# ------------------------------------------------------------ the constructor
def test_default_selection():
    model = checks.Tiny()
    model.bn.requires_grad_(False)
    masked = SubmaskedModel(model, test_input=X)
    assert list(masked.scores) == [
        'conv.weight', 'conv.bias', 'fc.weight', 'fc.bias',
    ]  # fmt: skip
    assert masked.test_input is X
    assert set(masked.analyze()) >= {'mean_mask', 'mean_mask_default'}
    trained = [p for p in masked.parameters() if p.requires_grad]
    assert [id(p) for p in trained] == [
        id(p) for p in masked.scores.parameters()
    ]


def test_nothing_masked():
    model = checks.Tiny()
    expected = model.eval()(X)
    frozen = SubmaskedModel(model, lambda name, parameter: 'freeze')
    assert torch.equal(frozen(X), expected)
    assert frozen.analyze() == {}
    assert frozen.get_masks() == []
    assert not any(p.requires_grad for p in frozen.parameters())


@pytest.mark.parametrize(
    ('selected', 'options', 'message'),
    [
        ('mask', dict(shell_mode='move'), "shell_mode must be .* 'move'"),
        ('mask', dict(prune_criterion='best'), "criterion must be .* 'best'"),
        ('mask', dict(prune_criterion='flip'), 'needs scale=False'),
        ('prune', {}, "must give one of .* got 'prune' for conv.weight"),
        (('mask', 1, 2), {}, r"got \('mask', 1, 2\) for conv.weight"),
        (None, {}, 'got None for conv.weight'),
    ],
)
def test_bad_arguments(selected, options, message):
    model = checks.Tiny()
    keys = list(model.state_dict())
    with pytest.raises(ValueError, match=message):
        SubmaskedModel(model, lambda name, p: selected, **options)
    assert type(model.conv) is nn.Conv2d  # nothing was masked
    assert list(model.state_dict()) == keys
    assert all(p.requires_grad for p in model.parameters())


# ------------------------------------------------------------------ k of ctx
def test_k_of_the_context():
    seen = []

    def k(ctx):
        seen.append(ctx)
        return 1 - ctx.get('epoch', 0) / 10

    masked = SubmaskedModel(checks.Tiny(), k=k, prune_criterion='topk')
    assert masked.analyze()['total_off'] == 0
    for epoch in (0, 5, 10):
        ctx = dict(epoch=epoch)
        masked(X, ctx=ctx)
        assert seen[-1] is ctx
        found = masked.analyze(ctx)
        assert found['prune_k'] == k(ctx)
        for mask in masked.get_masks(ctx):
            off = int((1 - k(ctx)) * mask.numel())
            assert int(mask.sum()) == mask.numel() - off
    masked(X)
    assert seen[-1] == {}


def test_k_that_means_nothing():
    masked = SubmaskedModel(
        checks.Tiny(), k=lambda ctx: ctx['k'], prune_criterion='topk'
    )
    with pytest.raises(ValueError, match=r'in \[0, 1\], got 3'):
        masked(X, ctx=dict(k=3))


def test_topk_keeps_nothing_by_default():
    """k is 0, and so is the output, where the original's is NaN."""
    model = SubmaskedModel(checks.Tiny(), prune_criterion='topk')
    assert model.analyze()['total_on'] == 0
    assert not model(X).any()


def test_masks_have_a_graph():
    masked = checks.submasked_tiny(OPTIONS)
    sum(mask.sum() for mask in masked.get_masks()).backward()
    assert all((s.grad == 1).all() for s in masked.scores.values())


def test_analyze_twice_over_modes():
    """Both ways to install a weight give the same numbers, bit for bit."""
    outs = []
    for mode in ('copy', 'replace'):
        masked = checks.submasked_tiny(dict(OPTIONS, shell_mode=mode))
        outs.append(masked(X))
        assert masked.shell_mode == mode
    assert torch.equal(*outs)


# -------------------------------------------------------------------- scores
def test_inits():
    weight = torch.linspace(-1, 1, 12).view(3, 4)
    scores = nn.ParameterDict(dict(a=nn.Parameter(torch.zeros(3, 4))))
    base = nn.ParameterDict(dict(a=nn.Parameter(weight.clone())))
    magnitude_scores_init(0, 0, shuffle=True)(scores.values(), base.values())
    assert torch.equal(
        scores['a'].flatten().sort().values, weight.abs().flatten().sort()[0]
    )
    positive_scores_init(scores.values(), base.values())
    assert (scores['a'] == 1).all()
    default_scores_init(scores['a'], base['a'])  # single tensors too
    assert scores['a'].abs().max() <= 0.5
    torch.manual_seed(0)
    normal_scores_init(3.0)(scores['a'], base['a'])
    assert abs(scores['a'].mean() - 3) < 0.02
    assert torch.equal(base['a'], weight)
    assert scores['a'].is_leaf
    assert scores['a'].requires_grad


def test_an_init_of_ones_own():
    """It is called with the scores of each parameter and its base weight."""
    calls = []

    def init(scores, base_weight):
        calls.append((scores, base_weight))
        scores.data.copy_(base_weight.data.sign())

    model = checks.Tiny()
    masked = SubmaskedModel(model, scores_init=init)
    scores, weights = zip(*calls)
    assert [id(s) for s in scores] == [id(s) for s in masked.scores.values()]
    assert weights[0] is model.conv.weight
    assert len(weights) == 6
    assert torch.equal(masked.scores['fc.weight'], model.fc.weight.sign())


def test_scores_by_the_keys_of_the_original():
    scores = SubmaskedModel(Names()).scores
    assert scores['a_weight'] is scores['a.weight']
    assert len(list(scores.parameters())) == 4
    with pytest.raises(KeyError, match='may be any of'):
        scores['a_b_c']
    with pytest.raises(KeyError, match="'x' is not masked"):
        scores['x']


# -------------------------------------------------------------------- golden
@checks.golden('mask_counts', '{name}', named)
def test_mask_counts(case):
    """By the authors' choice of substrings."""
    with torch.device('meta'):
        model, _ = checks.MODELS[case['name']]()
    masked = SubmaskedModel(
        model,
        lambda name, parameter: (
            'mask' if any(part in name for part in PARTS) else 'freeze'
        ),
        scores_init=positive_scores_init,
    )
    expected = case['value']
    sizes = [score.numel() for score in masked.scores.values()]
    assert sum(sizes) == expected['masked']
    assert len(sizes) == expected.get('tensors', len(sizes))


# ResNets; and the tower of CLIP, whose three matrices are one here
PARTS = ('conv', 'downsample', '.attn.', '.ffn.')


@checks.golden('masked_linear')
def test_masked_linear(case):
    layer = MaskedLinear(3, 2, 0.5).double()
    assert (layer.scores == 0.5).all()
    assert not layer.linear.weight.requires_grad
    layer.linear.weight.data = checks.fill((2, 3), 0.9, 0.2)
    layer.scores.data = checks.fill((2, 3), 1.7, 0.4)
    out = layer(checks.fill((4, 3), 0.5, 0.1))
    (out * checks.fill((4, 2), 1.3, 0.2)).sum().backward()
    checks.close(out.detach(), case['out'])
    checks.close(layer.scores.grad, case['grad_S'])
    layer.scores.data.fill_(-1)
    assert not layer(torch.rand(4, 3).double()).any()
