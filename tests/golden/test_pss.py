# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""PSS against the values of the original."""

import math

import pytest
import torch
from mmpretrain.models.backbones import BEiTViT

from mask_plugins.core.tokens import keep_count
from mask_plugins.models.backbones import PSSVisionTransformer

from . import pss_checks as checks
from . import values


@pytest.mark.parametrize('case', checks.schedules(), ids=checks.schedule_id)
def test_schedule(case):
    checks.check_schedule(case)


@pytest.mark.parametrize(
    'case', checks.histograms(), ids=lambda case: case['name']
)
def test_histogram(case):
    checks.check_histogram(case)


@pytest.mark.parametrize(
    'case',
    [dict(case, key=k) for k, case in values.matching('pss', 'loop_order_*')],
    ids=lambda case: case['key'],
)
def test_loop_order(case):
    """The value meant for an iteration is the one that it uses.

    The original with SimMIM uses the previous iteration's and logs the next
    one's; what it intended is recorded. The one with DeiT uses the right one.
    """
    name = case.get('schedule', 'cyclic(0.8,-0.1)')
    epochs, iters = case['epochs'], case['iters_per_epoch']
    schedule = checks.named_schedule(name, epochs, iters)
    found = [schedule.value(t) for t in range(epochs * iters)]
    assert found == case.get('intended', case['used'])


@pytest.mark.parametrize('row', checks.keep_rows(), ids=str)
def test_keep_count(row):
    if row[1] >= 1:
        pytest.skip('drop ratio 1 is refused')
    checks.check_keep_count(row)


def test_drop_ratio_one_is_an_error():
    with pytest.raises(ValueError, match=r'\[0, 1\), got 1.0'):
        keep_count(197, 1.0)


@pytest.mark.parametrize('case', checks.selections(), ids=checks.selection_id)
def test_selection(case):
    checks.check_selection(case)


@pytest.mark.parametrize(
    'case',
    checks.random_selections(),
    ids=lambda case: f'seed{case["seed"]}-{case["drop"]}',
)
def test_random_selection(case):
    checks.check_random_selection(case)


@pytest.mark.parametrize(
    'case', checks.rel_indices(), ids=lambda case: str(case['size'])
)
def test_relative_position_index(case):
    checks.check_rel_index(case)


@pytest.mark.parametrize(
    'case', checks.selected_biases(), ids=lambda case: str(case['size'])
)
def test_selected_bias(case):
    checks.check_selected_bias(case)


@pytest.mark.parametrize('fused_attn', [False, True], ids=['exact', 'fused'])
@pytest.mark.parametrize(
    'case', checks.tiny_models(), ids=checks.tiny_model_id
)
def test_tiny_model(case, fused_attn):
    checks.check_tiny_model(case, fused_attn)


def first_of_each_model():
    """One case per model of the file, whatever models it has."""
    return {case['tag']: case for case in checks.tiny_models()}.values()


@pytest.mark.parametrize(
    'case', first_of_each_model(), ids=lambda case: case['tag']
)
def test_off_switch(case):
    """At drop ratio 0, the stock network bit for bit."""
    ours, _ = checks.build_tiny_model(case, fused_attn=False)
    stock = BEiTViT(
        arch=ours.arch_settings,
        img_size=32,
        patch_size=ours.img_size[0] // ours.patch_resolution[0],
        out_type=ours.out_type,
        final_norm=ours.final_norm,
        use_abs_pos_emb=ours.pos_embed is not None,
        layer_scale_init_value=float(ours.layers[0].gamma_1 is not None),
        use_rel_pos_bias=ours.use_rel_pos_bias,
    )
    found = stock.load_state_dict(ours.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert all('relative_position_index' in k for k in found.missing_keys)
    stock.eval()
    images = checks.recipe_images()
    difference = (stock(images)[0] - ours(images)[0]).abs().max()
    for _, recorded in values.matching('pss', 'plain_vit_equals_pss_*'):
        assert float(difference) <= recorded


@pytest.mark.parametrize(
    'case', first_of_each_model(), ids=lambda case: case['tag']
)
def test_token_order(case):
    """Attention does not mind the order of tokens, up to rounding."""
    images = checks.recipe_images()
    outputs = []
    for order in ('score', 'index'):
        model, head = checks.build_tiny_model(
            case, token_order=order, drop_ratio=0.4
        )
        outputs.append(head(model(images)[0]))
    for _, recorded in values.matching('pss', 'pss_sorted_*'):
        assert math.isfinite(recorded)
        torch.testing.assert_close(*outputs, rtol=0, atol=10 * recorded)


@pytest.mark.parametrize(
    'case', first_of_each_model(), ids=lambda case: case['tag']
)
def test_a_patch_always_stays(case):
    model, head = checks.build_tiny_model(case, drop_ratio=0.99)
    logits = head(model(checks.recipe_images())[0])
    assert logits.isfinite().all()


def test_gate_works():
    gated = PSSVisionTransformer(
        arch=dict(
            embed_dims=8,
            num_layers=2,
            num_heads=2,
            feedforward_channels=16,
        ),
        img_size=32,
        patch_size=8,
        scorer='gate',
        drop_ratio=0.6,
    )
    gated.train()
    gated(checks.recipe_images())[0].square().sum().backward()
    assert all(p.grad is not None for p in gated.token_gate.parameters())
    assert gated.token_gate.fc2.weight.grad.abs().sum() > 0
