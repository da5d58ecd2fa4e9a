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
)
from torch import nn

from mask_plugins.models.backbones import (
    apply_token_sampling,
    remove_token_sampling,
)
from mask_plugins.registry import MODELS

from .test_pss_vit import ARCH, build, images, randomize


class TestTokenSampler:
    @pytest.mark.parametrize('stock', [VisionTransformer, 'deit'])
    def test_keys_and_off_switch(self, stock):
        if stock == 'deit':
            stock = DistilledVisionTransformer
        torch.manual_seed(0)
        backbone = stock(arch=ARCH, img_size=32, patch_size=8)
        randomize(backbone)
        backbone.eval()
        keys, before = list(backbone.state_dict()), backbone(images())[0]
        sampled = apply_token_sampling(backbone)
        assert sampled is backbone
        assert isinstance(sampled, stock)
        assert list(sampled.state_dict()) == keys
        after = sampled(images())[0]
        flat = [before, after]
        if isinstance(before, (tuple, list)):
            flat = [torch.stack(list(x)) for x in flat]
        assert torch.equal(*flat)

    def test_equals_the_transformer_that_samples_itself(self):
        stock = VisionTransformer(arch=ARCH, img_size=32, patch_size=8)
        randomize(stock)
        ours = build(
            out_type='cls_token',
            use_abs_pos_emb=True,
            use_rel_pos_bias=False,
            layer_scale_init_value=0.0,
            drop_ratio=0.6,
        )
        ours.load_state_dict(stock.state_dict())
        sampled = apply_token_sampling(stock, drop_ratio=0.6)
        sampled.eval()
        x = images()
        (_, a), shape = sampled.get_patch_info(x)
        (_, b), _ = ours.get_patch_info(x)
        assert shape == (2, 7)
        assert torch.equal(a, b)
        torch.testing.assert_close(
            sampled(x)[0], ours(x)[0], rtol=1e-4, atol=1e-5
        )

    def test_prefix_of_deit_has_two_tokens(self):
        backbone = apply_token_sampling(
            DistilledVisionTransformer(arch=ARCH, img_size=32, patch_size=8),
            drop_ratio=0.5,
        )
        (_, kept), (batch, count) = backbone.get_patch_info(images())
        assert (kept.view(batch, count)[:, :2] == torch.arange(2)).all()
        assert (kept.view(batch, count)[:, 2:] >= 2).all()

    def test_from_a_config_under_another_scope(self):
        backbone = MODELS.build(
            dict(
                type='mask_plugins.TokenSampler',
                drop_ratio=0.5,
                scorer='gate',
                module=dict(
                    type='mmpretrain.VisionTransformer',
                    arch=ARCH,
                    img_size=32,
                    patch_size=8,
                    out_type='featmap',
                ),
            )
        )
        assert backbone(images())[0].shape == (2, 24, 4, 4)

    def test_copies_are_independent(self):
        backbone = apply_token_sampling(
            VisionTransformer(arch=ARCH, img_size=32, patch_size=8)
        )
        backbone.eval()
        twin = copy.deepcopy(backbone)
        twin.drop_ratio = 0.5
        assert backbone.drop_ratio == 0
        whole = backbone(images())[0]
        assert not torch.equal(whole, twin(images())[0])
        assert torch.equal(whole, backbone(images())[0])

    def test_no_activation_is_kept(self):
        backbone = apply_token_sampling(
            VisionTransformer(arch=ARCH, img_size=32, patch_size=8),
            drop_ratio=0.5,
        )
        backbone(images())
        assert backbone._kept is None
        assert backbone._entering is None

    def test_refusals(self):
        beit = BEiTViT(arch=ARCH, img_size=32, patch_size=8)
        with pytest.raises(TypeError, match='PSSVisionTransformer'):
            apply_token_sampling(beit)
        with pytest.raises(TypeError, match='got Linear'):
            apply_token_sampling(nn.Linear(2, 2))
        vit = VisionTransformer(arch=ARCH, img_size=32, patch_size=8)
        with pytest.raises(TypeError, match='already'):
            apply_token_sampling(apply_token_sampling(vit))
        rotary = MODELS.build(
            dict(type='mmpretrain.ViTEVA02', arch='t', img_size=28)
        )
        with pytest.raises(TypeError, match='rotates'):
            apply_token_sampling(rotary)

    @pytest.mark.parametrize('options', [dict(), dict(scorer='gate')])
    def test_removed_is_the_stock_backbone(self, options):
        """Also from a copy and from a pickle, which have the same class."""
        backbone = VisionTransformer(arch=ARCH, img_size=32, patch_size=8)
        names, state = set(vars(backbone)), list(backbone.state_dict())
        backbone.eval()
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
    def test_a_wrong_argument_changes_nothing(self, wrong):
        backbone = VisionTransformer(arch=ARCH, img_size=32, patch_size=8)
        names = set(vars(backbone))
        with pytest.raises((ValueError, TypeError)):
            apply_token_sampling(backbone, **wrong)
        assert type(backbone) is VisionTransformer
        assert set(vars(backbone)) == names
