# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The sampling vision transformer."""

import copy
import io

import pytest
import torch
import torch._dynamo
from mmpretrain.models.backbones import BEiTViT, VisionTransformer
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from mask_plugins.models.backbones import PSSVisionTransformer
from mask_plugins.utils.compat_torch import COMPILES_MASKS

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)

STOCK = dict(arch=ARCH, img_size=32, patch_size=8)
ABSOLUTE = dict(use_abs_pos_emb=True, use_rel_pos_bias=False)
SHARED = dict(use_rel_pos_bias=False, use_shared_rel_pos_bias=True)


def build(**kwargs):
    torch.manual_seed(0)
    model = PSSVisionTransformer(**STOCK, **kwargs)
    randomize(model)
    model.eval()
    return model


def randomize(model):
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)


def images(batch=2, size=32):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, size, size, generator=generator)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_options_of_stock_vits():
    arch = dict(
        embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=8
    )
    model = PSSVisionTransformer(
        arch, img_size=16, patch_size=8, frozen_stages=1, attn_drop_rate=0.3,
        interpolate_mode='bilinear', patch_cfg=dict(bias=False),
    )  # fmt: skip
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert not [name for name in trained if name.startswith('layers.0.')]
    assert [name for name in trained if name.startswith('layers.1.')]
    assert model.layers[1].attn.attn_drop.p == 0.3
    assert model.interpolate_mode == 'bilinear'
    assert model.patch_embed.projection.bias is None


@pytest.mark.parametrize('options', [{}, SHARED, ABSOLUTE])
@pytest.mark.parametrize('fused', [True, False])
def test_an_empty_batch(options, fused):
    model = build(drop_ratio=0.5, fused_attn=fused, **options)
    assert model(images(batch=0))[0].shape == (0, 24)


@pytest.mark.parametrize(
    ('wrong', 'error'),
    [
        (dict(drop_path_rate=-1.0), 'drop_path_rate must be .*-1.0'),
        (dict(drop_path_rate=1.0), 'drop_path_rate must be .*1.0'),
        (dict(arch=dict(ARCH, num_heads=5)), 'num_heads, got 24 and 5'),
    ],
)
def test_options_that_no_forward_would_survive(wrong, error):
    with pytest.raises(ValueError, match=error):
        PSSVisionTransformer(**{**STOCK, **wrong})


class TestForward:
    @pytest.mark.parametrize(
        ('out_type', 'shape'),
        [
            ('avg_featmap', (2, 24)),
            ('cls_token', (2, 24)),
            ('raw', (2, 8, 24)),  # the kept tokens
            ('featmap', (2, 24, 4, 4)),
        ],
    )
    @pytest.mark.parametrize('scorer', ['magnitude', 'l2_magnitude', 'random'])
    def test_shapes(self, out_type, shape, scorer):
        options = dict(out_type=out_type, out_indices=[0, 2])
        model = build(scorer=scorer, drop_ratio=0.5, **options)
        assert [out.shape for out in model(images())] == [shape] * 2

    def test_fused_equals_exact(self):
        for options in (dict(), dict(use_rel_pos_bias=False), SHARED):
            exact, fused = (
                build(fused_attn=fused, drop_ratio=0.4, **options)
                for fused in (False, True)
            )
            close(exact(images())[0], fused(images())[0])

    def test_shared_bias_equals_the_same_bias_in_each_block(self):
        shared, blocks = build(**SHARED, drop_ratio=0.4), build(drop_ratio=0.4)
        # the load hook copies the shared table to every block
        blocks.load_state_dict(shared.state_dict())
        assert torch.equal(shared(images())[0], blocks(images())[0])

    def test_only_the_kept_patches_are_read(self):
        model = build(drop_ratio=0.5, use_abs_pos_emb=True)
        x = images(1)
        (_, kept), _ = model.get_patch_info(x)
        before = model(x)[0]
        dropped = set(range(1, 17)) - set(kept.tolist())
        for token in dropped:
            row, column = divmod(token - 1, 4)
            patch = x[0, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            # half as bright about the bias: still the weaker patch
            patch.mul_(0.9)
        (_, again), _ = model.get_patch_info(x)
        assert again.tolist() == kept.tolist()
        assert torch.equal(before, model(x)[0])

    def test_featmap_has_zeros_where_tokens_were_dropped(self):
        model = build(out_type='featmap', drop_ratio=0.5)
        (rows, kept), _ = model.get_patch_info(images())
        (out,) = model(images())
        filled = out.flatten(2).abs().sum(1) > 0  # B, P
        expected = torch.zeros(2, 17, dtype=torch.bool)
        expected[rows, kept] = True
        assert torch.equal(filled, expected[:, 1:])

    def test_other_input_size(self):
        with pytest.raises(ValueError, match=r'64, 64.*img_size'):
            build()(images(size=64))
        model = build(drop_ratio=0.5, **ABSOLUTE)
        assert model(images(size=64))[0].shape == (2, 24)

    def test_all_parameters_have_gradients_at_any_ratio(self):
        """DDP then needs no search for unused parameters."""
        model = build(scorer='gate', use_abs_pos_emb=True)
        model.train()
        for ratio in (0.0, 0.5):
            model.zero_grad(set_to_none=True)
            model.drop_ratio = ratio
            model(images())[0].sum().backward()
            for name, parameter in model.named_parameters():
                assert parameter.grad is not None, name

    def test_score_on_patch_embed_ignores_positions(self):
        model = build(use_abs_pos_emb=True, drop_ratio=0.5)
        nn.init.normal_(model.pos_embed, std=100.0)
        model.score_on = 'patch_embed'
        (_, kept), _ = model.get_patch_info(images())
        bare = build(drop_ratio=0.5)
        bare.patch_embed.load_state_dict(model.patch_embed.state_dict())
        (_, expected), _ = bare.get_patch_info(images())
        assert torch.equal(kept, expected)


class TestOffSwitch:
    @pytest.mark.parametrize('train', [False, True])
    @pytest.mark.parametrize('scorer', ['magnitude', 'random', 'gate'])
    def test_off_is_the_same_network(self, train, scorer):
        sampler = build(scorer=scorer, drop_path_rate=0.5)
        plain = build(drop_path_rate=0.5)
        plain.load_state_dict(sampler.state_dict(), strict=False)
        sampler.drop_ratio = 0.6
        sampler(images())
        sampler.drop_ratio = 0
        outputs = []
        for model in (sampler, plain):
            model.train(train)
            torch.manual_seed(3)
            outputs.append(model(images())[0])
        assert torch.equal(*outputs)

    def test_stock_beit_bit_for_bit(self):
        ours = build(fused_attn=False, use_abs_pos_emb=True)
        stock = BEiTViT(use_abs_pos_emb=True, **STOCK)
        stock.load_state_dict(ours.state_dict(), strict=False)
        stock.eval()
        assert torch.equal(ours(images())[0], stock(images())[0])


class TestRandom:
    def test_eval_is_deterministic_and_leaves_the_global_stream(self):
        model = build(scorer='random', drop_ratio=0.5)
        state = torch.get_rng_state()
        first, second = model(images())[0], model(images())[0]
        assert torch.equal(first, second)
        assert torch.equal(state, torch.get_rng_state())

    def test_training_draws_again_but_repeats_with_the_seed(self):
        model = build(scorer='random', drop_ratio=0.5)
        model.train()
        torch.manual_seed(0)
        first, second = model(images())[0], model(images())[0]
        assert not torch.equal(first, second)
        torch.manual_seed(0)
        assert torch.equal(first, model(images())[0])


class TestCheckpoints:
    def test_stock_beit_loads_strictly(self):
        build().load_state_dict(BEiTViT(**STOCK).state_dict())

    def test_stock_vit_loads_strictly_and_agrees(self):
        stock = VisionTransformer(layer_scale_init_value=0.3, **STOCK)
        randomize(stock)
        stock.eval()
        ours = build(out_type='cls_token', **ABSOLUTE)
        ours.load_state_dict(stock.state_dict())
        close(ours(images())[0], stock(images())[0])

    @pytest.mark.parametrize('as_list', [False, True])
    def test_a_pretrained_file_survives_init_weights(self, tmp_path, as_list):
        donor = build()
        path = tmp_path / 'donor.pth'
        torch.save(dict(state_dict=donor.state_dict()), path)
        init_cfg = dict(type='Pretrained', checkpoint=str(path))
        model = build(init_cfg=[init_cfg] if as_list else init_cfg)
        model.init_weights()
        for key, value in donor.state_dict().items():
            assert torch.equal(value, model.state_dict()[key]), key

    def test_init_is_the_originals(self):
        model = PSSVisionTransformer('small', img_size=32, patch_size=8)
        model.init_weights()
        for depth, layer in enumerate(model.layers, 1):
            assert (layer.attn.relative_position_bias_table == 0).all()
            assert (layer.attn.q_bias == 0).all()
            ffn, last = layer.ffn.layers, (2 * depth) ** -0.5
            linears = (layer.attn.qkv, ffn[0][0], layer.attn.proj, ffn[1])
            for linear, scale in zip(linears, (1, 1, last, last)):
                std = float(linear.weight.std())
                assert std == pytest.approx(0.02 * scale, rel=0.05)


class TestBadInput:
    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (dict(scorer='best'), "scorer must be one of .* 'best'"),
            (dict(drop_ratio=1.0), r'drop_ratio .* in \[0, 1\), got 1'),
            (dict(drop_ratio=-0.1), r'drop_ratio .* got -0.1'),
            (dict(score_on='cls'), "score_on .* 'cls'"),
            (dict(count_on='x'), "count_on .* 'x'"),
            (dict(token_order='x'), "token_order .* 'x'"),
            (dict(use_shared_rel_pos_bias=True), 'use_rel_pos_bias with'),
        ],
    )
    def test_constructor(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            build(**arguments)

    def test_unknown_arch(self):
        with pytest.raises(ValueError, match="arch .* 'huge'"):
            PSSVisionTransformer('huge')

    def test_later(self):
        model = build()
        with pytest.raises(ValueError, match='got 1.2'):
            model.drop_ratio = 1.2
        with pytest.raises(TypeError, match="got '0.5'"):
            model.drop_ratio = '0.5'
        with pytest.raises(ValueError, match='needs weights'):
            model.scorer = 'gate'
        assert model.drop_ratio == 0


class TestContracts:
    def test_deepcopy(self):
        model = build(scorer='random', drop_ratio=0.5)
        twin = copy.deepcopy(model)
        assert torch.equal(model(images())[0], twin(images())[0])
        twin.drop_ratio = 0.0
        assert model.drop_ratio == 0.5

    @pytest.mark.parametrize('train', [False, True])
    def test_bf16_autocast(self, train):
        """The selection is that of fp32 scores; the loss is finite."""
        model = build(drop_ratio=0.5)
        model.train(train)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            (out,) = model(images())
            assert out.isfinite().all()
            out.float().sum().backward()
        assert model.patch_embed.projection.weight.grad.isfinite().all()

    @pytest.mark.slow
    @pytest.mark.parametrize('grows', [False, True])
    def test_compile(self, grows):
        """One graph per length, of the first cycle; the same numbers."""
        torch._dynamo.reset()
        model = build(use_abs_pos_emb=True)
        count = CompileCounterWithBackend('aot_eager')
        compiled = torch.compile(model, backend=count)
        down = (0.8, 0.6, 0.4, 0.2, 0.0)
        graphs = []
        for _ in range(3):
            for ratio in (*down, *down[::-1]):
                model.drop_ratio = ratio
                batch = int(4 / (1 - ratio)) if grows else 2
                x = torch.rand(batch, *images().shape[1:])
                out = compiled(x)[0]
                torch.testing.assert_close(out, model(x)[0])
                out.sum().backward()
            graphs.append(count.frame_count)
        assert graphs[0] == graphs[1] == graphs[2]
        assert graphs[0] == len(down)
        assert not torch._dynamo.utils.counters['graph_break']


@pytest.mark.skipif(not COMPILES_MASKS, reason='is never told of a trace')
@pytest.mark.parametrize('way', ['trace', 'export', 'onnx'])
def test_a_random_scorer_is_not_exported(way):
    """The noise would go on, or be that of one batch."""

    def exported(model):
        if way == 'trace':
            return torch.jit.trace(model, (images(),), check_trace=False)
        if way == 'export':
            return torch.export.export(model, (images(),)).module()
        return torch.onnx.export(
            model, (images(),), io.BytesIO(), dynamo=False
        )

    model = build(scorer='random', drop_ratio=0.5)
    with pytest.raises(RuntimeError, match="take scorer='magnitude'"):
        exported(model)
    if way == 'onnx':
        return
    other = images().flip(0)
    for model.scorer, model.drop_ratio in (('random', 0), ('magnitude', 0.5)):
        close(exported(model)(other)[0], model(other)[0])
