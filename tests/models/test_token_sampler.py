# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Token sampling in stock backbones."""

import copy
import pickle

import pytest
import torch
from mmpretrain.models.backbones import (
    BEiTViT,
    DistilledVisionTransformer,
    VisionTransformer,
    ViTEVA02,
)
from torch import nn

from mask_plugins.models.backbones import (
    apply_token_sampling,
    remove_token_sampling,
)
from mask_plugins.registry import MODELS

from .test_pss_vit import (
    ABSOLUTE,
    STOCK,
    build,
    close,
    images,
    randomize,
)


def vit(kind=VisionTransformer, **sampling):
    """A stock backbone of random weights, sampling if it is told how."""
    torch.manual_seed(0)
    backbone = kind(**STOCK)
    randomize(backbone)
    if sampling:
        apply_token_sampling(backbone, **sampling)
    backbone.eval()
    return backbone


@pytest.mark.parametrize(
    'stock', [VisionTransformer, DistilledVisionTransformer]
)
def test_keys_and_off_switch(stock):
    backbone = vit(stock)
    keys, before = list(backbone.state_dict()), backbone(images())[0]
    sampled = apply_token_sampling(backbone)
    assert sampled is backbone
    assert isinstance(sampled, stock)
    assert list(sampled.state_dict()) == keys
    after = sampled(images())[0]
    if torch.is_tensor(before):
        before, after = [before], [after]
    for one, other in zip(before, after):
        assert torch.equal(one, other)


def test_equals_the_transformer_that_samples_itself():
    stock = vit()
    options = dict(layer_scale_init_value=0.0, drop_ratio=0.6)
    ours = build(out_type='cls_token', **ABSOLUTE, **options)
    ours.load_state_dict(stock.state_dict())
    sampled = apply_token_sampling(stock, drop_ratio=0.6)
    x = images()
    (_, a), shape = sampled.get_patch_info(x)
    (_, b), _ = ours.get_patch_info(x)
    assert shape == (2, 7)
    assert torch.equal(a, b)
    close(sampled(x)[0], ours(x)[0])


def test_prefix_of_deit_has_two_tokens():
    backbone = vit(DistilledVisionTransformer, drop_ratio=0.5)
    (_, kept), (batch, count) = backbone.get_patch_info(images())
    assert (kept.view(batch, count)[:, :2] == torch.arange(2)).all()
    assert (kept.view(batch, count)[:, 2:] >= 2).all()


def test_from_a_config_under_another_scope():
    kind = 'mmpretrain.VisionTransformer'
    stock = dict(STOCK, type=kind, out_type='featmap')
    cfg = dict(type='mask_plugins.TokenSampler', module=stock)
    backbone = MODELS.build(dict(cfg, drop_ratio=0.5, scorer='gate'))
    assert backbone(images())[0].shape == (2, 24, 4, 4)


def test_copies_are_independent():
    backbone = vit(drop_ratio=0)
    twin = copy.deepcopy(backbone)
    twin.drop_ratio = 0.5
    assert backbone.drop_ratio == 0
    whole = backbone(images())[0]
    assert not torch.equal(whole, twin(images())[0])
    assert torch.equal(whole, backbone(images())[0])


@pytest.mark.parametrize(
    'kind', ['MAEViT', 'MFFViT', 'MILANViT', 'MaskFeatViT']
)
def test_backbones_that_mask_patches_themselves_are_refused(kind):
    arch = dict(STOCK['arch'], num_heads=3)
    module = dict(type=f'mmpretrain.{kind}', **{**STOCK, 'arch': arch})
    with pytest.raises(TypeError, match=f'{kind}.* masks patches itself'):
        MODELS.build(dict(type='mask_plugins.TokenSampler', module=module))


def test_no_activation_is_kept():
    backbone = vit(drop_ratio=0.5)
    backbone(images())
    assert backbone._kept is None
    assert backbone._entering is None


def test_refusals():
    for backbone, message in (
        (vit(BEiTViT), 'PSSVisionTransformer'),
        (nn.Linear(2, 2), 'got Linear'),
        (vit(drop_ratio=0), 'already'),
        (ViTEVA02(arch='t', img_size=28), 'got ViTEVA02'),
    ):
        with pytest.raises(TypeError, match=message):
            apply_token_sampling(backbone)


@pytest.mark.parametrize('options', [dict(), dict(scorer='gate')])
def test_removed_is_the_stock_backbone(options):
    """Also from a copy and from a pickle, which have the same class."""
    backbone = vit()
    names, state = set(vars(backbone)), list(backbone.state_dict())
    before = backbone(images())[0]
    apply_token_sampling(backbone, drop_ratio=0.5, **options)
    copies = copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))
    for one in (backbone, *copies):
        assert type(one) is type(backbone)
        assert one(images())[0].equal(backbone(images())[0])
    for one in (*copies, backbone):
        assert remove_token_sampling(one) is one
        assert type(one) is VisionTransformer
        assert set(vars(one)) == names
        assert list(one.state_dict()) == state
        assert not one.layers[0]._forward_pre_hooks
        assert not one.patch_embed._forward_hooks
        assert not one._state_dict_hooks
        assert one(images())[0].equal(before)
        assert remove_token_sampling(one) is one
    with pytest.raises(TypeError, match='drop_ratio to 0'):
        remove_token_sampling(build())


@pytest.mark.parametrize('wrong', [dict(drop_ratio=2), dict(ratio=0.5)])
def test_a_wrong_argument_changes_nothing(wrong):
    backbone = vit()
    names = set(vars(backbone))
    with pytest.raises((ValueError, TypeError)):
        apply_token_sampling(backbone, **wrong)
    assert type(backbone) is VisionTransformer
    assert set(vars(backbone)) == names
