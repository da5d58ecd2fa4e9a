# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every module that can be masked computes with its effective weights."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from mask_plugins.core.weights import (
    ScoreMask,
    SoftMask,
    apply_weight_masks,
    disable_masks,
    merge_masks,
    named_masks,
)

from . import nets

pytestmark = pytest.mark.usefixtures('kernels')


def same_bits(model, other, x):
    """Whether two models give the same output.

    Both frozen: torch chooses its kernels by what requires a gradient, even
    where none is computed.
    """
    outputs = []
    for module in (model, other):
        module = copy.deepcopy(module).requires_grad_(False)
        with torch.no_grad():
            outputs.append(module(x))
    return torch.equal(*outputs)


@pytest.mark.parametrize('mode', ['train', 'eval'])
@pytest.mark.parametrize('kind', ['score', 'soft'])
@pytest.mark.parametrize('name', nets.ZOO)
def test_masked_module(name, kind, mode):
    """All its parameters masked: values, gradients, off-switch, merge."""
    base, x = nets.from_zoo(name)
    base.train(mode == 'train')
    count = len(list(base.parameters()))
    model = apply_weight_masks(
        copy.deepcopy(base), nets.EVERYTHING, nets.KINDS[kind]
    )
    nets.randomize(model)
    assert len(list(named_masks(model))) == count
    assert isinstance(model, type(base))
    merged = merge_masks(copy.deepcopy(model))
    assert merged.state_dict().keys() == base.state_dict().keys()
    assert nets.classes(merged) == nets.classes(base)
    assert same_bits(merged, model, x)
    with disable_masks(model):
        assert same_bits(model, base, x)
    assert not same_bits(model, base, x)

    masks = {item.name: item.mask for item in named_masks(model)}
    results = []
    for call in (nets.with_effective_weights, lambda model, x: model(x)):
        model.zero_grad()
        twin = copy.deepcopy(model)  # norms have statistics
        out = call(twin, x)
        out.square().sum().backward()
        results.append([out, *(p.grad for p in twin.parameters())])
    torch.testing.assert_close(*results)
    assert all(next(m.parameters()).requires_grad for m in masks.values())
    with torch.no_grad():  # where attention has a fast path
        torch.testing.assert_close(
            copy.deepcopy(model)(x), results[0][0], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize('init', [-0.2, 0.0, 0.1])
@pytest.mark.parametrize('name', ['Linear', 'Conv1d', 'TransformerEncoder'])
def test_soft_masks_begin_as_the_dense_network(name, init):
    base, x = nets.from_zoo(name)
    model = apply_weight_masks(
        copy.deepcopy(base), nets.EVERYTHING, lambda w: SoftMask(w, init)
    )
    torch.testing.assert_close(model(x), base(x))


@pytest.mark.parametrize('name', nets.ZOO)
def test_score_masks_begin_as_the_base(name):
    """Scores of 1: to the bit."""
    base, x = nets.from_zoo(name)
    model = apply_weight_masks(copy.deepcopy(base), nets.EVERYTHING, ScoreMask)
    assert same_bits(model, base, x)


def test_tied_weights_have_one_mask():
    model = nets.TiedPair()
    apply_weight_masks(model, nets.EVERYTHING, nets.KINDS['soft'])
    nets.randomize(model)
    (item,) = named_masks(model)
    assert item.name == 'embed.weight'
    assert model.embed.weight_mask is model.out.weight_mask
    assert model.embed.weight is model.out.weight
    x = torch.arange(6)
    expected = nets.with_effective_weights(model, x)
    torch.testing.assert_close(model(x), expected)
    twin = copy.deepcopy(model)
    assert twin.embed.weight_mask is twin.out.weight_mask
    assert twin.embed.weight is twin.out.weight
    merged = merge_masks(twin)
    assert merged.embed.weight is merged.out.weight
    assert torch.equal(merged(x), model(x))


def test_fused_qkv_in_chunks():
    """Three matrices in one are scaled each for itself, as apart."""
    base, x = nets.from_zoo('mmpretrain attention')
    rules = [('qkv.*', 'mask', dict(chunks=3))]
    model = apply_weight_masks(base, rules, nets.KINDS['score'])
    mask = model.qkv.weight_mask
    effective = mask(model.qkv.weight)
    for part in range(3):
        rows = slice(8 * part, 8 * (part + 1))
        scores = mask.scores[rows]
        alone = ScoreMask(scores, init=lambda w, s=scores: s.detach().clone())
        torch.testing.assert_close(
            effective[rows], alone(model.qkv.weight[rows])
        )
    assert model(x).shape == x.shape


class Reader(nn.Module):
    """Reads weights of its children, by paths."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.block = nn.Sequential()
        self.block.second = nn.Linear(4, 4)

    def forward(self, x):
        x = nn.functional.linear(x, self.first.weight, self.first.bias)
        return nn.functional.linear(x, self.block.second.weight)


def test_a_reader_masked_in_two_steps():
    """The second call does not forget what the first had found."""
    model, x = Reader(), torch.randn(3, 4)
    apply_weight_masks(model, [('first.*', 'mask')], nets.KINDS['score'])
    apply_weight_masks(
        model, [('*second.weight', 'mask')], nets.KINDS['score']
    )
    expected = nets.with_effective_weights(model, x)
    torch.testing.assert_close(model(x), expected)
    merged = merge_masks(copy.deepcopy(model))
    assert type(merged) is Reader
    assert torch.equal(merged(x), model(x))


def test_the_parameter_is_seen_between_forwards():
    layer = nn.Linear(3, 2)
    weight = layer.weight
    apply_weight_masks(layer, [('weight', 'mask')], nets.KINDS['soft'])
    assert layer.weight is weight
    nn.init.ones_(layer.weight)
    layer.weight = nn.Parameter(torch.zeros(2, 3))
    assert not layer.weight.any()
    assert not layer(torch.ones(1, 3)).sub(layer.bias).any()
    assert dict(layer.named_parameters())['weight'] is layer.weight


def refused():
    pruned = nn.Linear(3, 2)
    prune.random_unstructured(pruned, 'weight', 0.5)
    yield 'pruned', pruned, 'RandomUnstructured computes a weight'
    spectral = nn.utils.spectral_norm(nn.Linear(3, 2))
    yield 'spectral', spectral, 'SpectralNorm computes a weight'
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    yield 'parametrized', normed, 'no forward of its own|parametrized'
    yield 'lstm', nn.LSTM(3, 2), 'LSTM reads a flat copy'
    lists = nn.ParameterList([nn.Parameter(torch.ones(2))])
    yield 'list', lists, 'ParameterList has no forward of its own'
    sparse = nn.Embedding(3, 2, sparse=True)
    yield 'sparse', sparse, r'Embedding\(sparse=True\) has sparse gradients'
    renormed = nn.Embedding(3, 2, max_norm=1.0)
    yield 'max_norm', renormed, r'Embedding\(max_norm=...\) changes its weight'
    tiny = nn.Linear(3, 2).to(torch.float8_e4m3fn)
    yield 'float8', tiny, r'weight must be of .* got torch.float8_e4m3fn'
    number = nn.Linear(3, 2, dtype=torch.complex64)
    yield 'complex', number, r'weight must be of .* got torch.complex64'
    yield 'lazy', nn.LazyLinear(3), r'no shape yet \(LazyLinear is lazy'


@pytest.mark.parametrize(
    ('module', 'message'),
    [pytest.param(*rest, id=name) for name, *rest in refused()],
)
def test_a_mask_that_would_be_ignored_is_refused(module, message):
    before = nets.classes(module)
    with pytest.raises(TypeError, match=message):
        apply_weight_masks(module, nets.EVERYTHING, ScoreMask)
    assert nets.classes(module) == before
    assert not list(named_masks(module))
