# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Dropped tokens that stay in the feature map and are let back in."""

import copy
import pickle

import pytest
import torch
from mmpretrain.models.backbones import (
    DistilledVisionTransformer,
    VisionTransformer,
)

from mask_plugins.core.tokens import gather_tokens, scatter_tokens
from mask_plugins.models.backbones import (
    PSSVisionTransformer,
    apply_token_sampling,
    remove_token_sampling,
)
from mask_plugins.registry import MODELS

from .test_pss_vit import ABSOLUTE, SHARED, STOCK, images, randomize

MAPS = dict(STOCK, out_type='featmap', out_indices=[0, 1, 2])


def stock(kind=VisionTransformer, **options):
    """A sampled stock backbone of random weights."""
    torch.manual_seed(0)
    backbone = kind(**MAPS)
    randomize(backbone)
    backbone.eval()
    return apply_token_sampling(backbone, **options)


def own(positions=ABSOLUTE, **options):
    """A backbone that samples by itself, of random weights."""
    torch.manual_seed(0)
    backbone = PSSVisionTransformer(**MAPS, **positions, **options)
    randomize(backbone)
    return backbone.eval()


def by_hand(backbone, x, blocks):
    """The maps, written out; the first so many blocks run on kept tokens."""
    whole, _ = backbone.embed_tokens(x)
    (_, kept), shape = backbone.get_patch_info(x)
    kept = kept.view(shape)
    maps = []
    layers = backbone.layers
    if isinstance(backbone, VisionTransformer):
        layers = remove_token_sampling(copy.deepcopy(backbone)).layers
    for depth, layer in enumerate(layers):
        if depth < blocks:
            part = layer(gather_tokens(whole, kept))
            whole = scatter_tokens(part, kept, whole.shape[1], whole)
        else:
            whole = layer(whole)
        out = backbone.ln1(whole) if depth == 2 else whole
        patches = out[:, backbone.num_extra_tokens :]
        maps.append(patches.transpose(1, 2).reshape(len(x), -1, 4, 4))
    return maps


@pytest.mark.parametrize('blocks', [1, 2, 3])
@pytest.mark.parametrize('kind', [VisionTransformer, PSSVisionTransformer])
def test_each_map_has_the_tokens_as_last_computed(kind, blocks):
    make = own if kind is PSSVisionTransformer else stock
    after = None if blocks == 3 else blocks
    backbone = make(drop_ratio=0.5, dropped='keep', return_after=after)
    maps = backbone(images())
    for out, expected in zip(maps, by_hand(backbone, images(), blocks)):
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)
    # The places differ in what they have, not in which they are.
    zero = make(drop_ratio=0.5)(images())
    filled = zero[0].ne(0).any(1)  # B, 4, 4
    assert 0 < filled.sum() < filled.numel()
    for out, other in list(zip(maps, zero))[: blocks - 1]:
        same = out.eq(other).all(1)
        assert same.equal(filled)


@pytest.mark.parametrize('positions', [ABSOLUTE, {}, SHARED])
def test_position_bias_is_that_of_all_tokens_again(positions):
    """Where nothing is dropped, letting back in changes nothing."""
    options = dict(dropped='keep', return_after=1)
    backbone = own(positions, drop_ratio=0.01, **options)
    assert backbone._num_keep == 17
    whole = own(positions)(images())
    # All tokens are kept, but in another order.
    for out, expected in zip(backbone(images()), whole):
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    backbone.drop_ratio = 0.5
    first, *_ = backbone(images())
    (fresh, *_) = own(positions, drop_ratio=0.5, **options)(images())
    assert first.equal(fresh)


def test_off_is_the_stock_backbone_bit_for_bit():
    plain = stock()
    expected = remove_token_sampling(copy.deepcopy(plain))(images())
    for options in ({}, dict(return_after=2)):
        backbone = stock(dropped='keep', **options)
        for out, other in zip(backbone(images()), expected):
            assert out.equal(other)


def test_zero_is_the_default():
    backbone = stock(drop_ratio=0.5)
    told = stock(drop_ratio=0.5, dropped='zero')
    for one, other in zip(backbone(images()), told(images())):
        assert one.equal(other)
    assert not any(layer._forward_hooks for layer in backbone.layers)


def test_a_prefix_of_two_and_another_size_of_images():
    backbone = stock(
        DistilledVisionTransformer, drop_ratio=0.5, dropped='keep'
    )
    maps = backbone(images(size=48))
    assert [out.shape for out in maps] == [(2, 24, 6, 6)] * 3
    assert maps[-1].flatten(2).abs().sum(1).all()


def test_the_decision_of_a_gate_has_a_gradient_at_dropped_places():
    backbone = stock(drop_ratio=0.5, dropped='keep', scorer='gate')
    backbone.train()
    first, *_ = backbone(images())
    (_, kept), shape = backbone.get_patch_info(images())
    dropped = torch.ones(2, 17, dtype=torch.bool)
    dropped.scatter_(1, kept.view(shape), False)
    patches = first.flatten(2).transpose(1, 2)
    patches[dropped[:, 1:]].sum().backward()
    assert all(p.grad.any() for p in backbone.token_gate.parameters())


def test_copies_pickles_and_removal():
    backbone = stock(drop_ratio=0.5, dropped='keep', return_after=2)
    expected = backbone(images())
    assert backbone._whole is None
    copies = copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))
    for one in copies:
        backbone.drop_ratio = 0  # the copies are not its
        for out, other in zip(one(images()), expected):
            assert out.equal(other)
    for one in (*copies, backbone):
        remove_token_sampling(one)
        assert type(one) is VisionTransformer
        assert not any(layer._forward_hooks for layer in one.layers)
        assert not hasattr(one, 'dropped')
        assert not hasattr(one, 'return_after')


def test_autocast():
    backbone = stock(drop_ratio=0.5, dropped='keep')
    with torch.autocast('cpu', torch.bfloat16):
        maps = backbone(images())
    for out, expected in zip(maps, backbone(images())):
        assert out.isfinite().all()
        assert (out.float() - expected).norm() < 0.05 * expected.norm()


def test_from_a_config():
    inner = dict(MAPS, type='mmpretrain.VisionTransformer')
    cfg = dict(type='mask_plugins.TokenSampler', module=inner, dropped='keep')
    backbone = MODELS.build(dict(cfg, drop_ratio=0.8, return_after=2))
    assert all(out.ne(0).any(1).all() for out in backbone(images()))


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(dropped='mean'), "dropped must be .*'keep'.*'mean'"),
        (dict(return_after=2), "return_after=2 needs dropped='keep'"),
        (dict(dropped='keep', return_after=0), 'return_after must be'),
        (dict(dropped='keep', return_after=4), 'return_after must be'),
    ],
)
def test_refusals(wrong, message):
    with pytest.raises(ValueError, match=message):
        stock(**wrong)
    with pytest.raises(ValueError, match=message):
        own(**wrong)


def test_other_outputs_have_no_dropped_places():
    for out_type in ('raw', 'cls_token', 'avg_featmap'):
        backbone = VisionTransformer(**STOCK, out_type=out_type)
        with pytest.raises(ValueError, match=f'featmap.*{out_type}'):
            apply_token_sampling(backbone, dropped='keep')
        assert type(backbone) is VisionTransformer


def test_scatter_into_tokens():
    whole = torch.arange(6.0).view(1, 3, 2)
    part = torch.full((1, 1, 2), 9.0)
    index = torch.tensor([[1]])
    full = scatter_tokens(part, index, 3, whole)
    assert full.flatten().tolist() == [0, 1, 9, 9, 4, 5]
    assert whole[0, 1].tolist() == [2, 3]
    with pytest.raises(ValueError, match=r'shape \(1, 3, 2\), got \(3, 2\)'):
        scatter_tokens(part, index, 3, whole[0])
