# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""PSS against the values of the original.

A key that a set of golden files does not have gives an empty list of cases,
which pytest skips by the name of the test.
"""

import math
import re
from collections import Counter

import pytest
import torch
from mmpretrain.models.backbones import BEiTViT

from mask_plugins.compat import pss as original
from mask_plugins.core.tokens import (
    gather_position_bias,
    keep_count,
    relative_position_index,
    score_l2_magnitude,
    score_magnitude,
    score_random,
    select_index_pairs,
    select_tokens,
)
from mask_plugins.models.backbones import PSSVisionTransformer

from . import values
from .perturb import bump, changed
from .pss_model import build_tiny_model, our_name, recipe_images

KINDS = dict(
    linear=original.OriginalLinearSchedule,
    cosine=original.OriginalCosineSchedule,
    cyclic=original.OriginalCyclicSchedule,
    fixed=original.OriginalLinearSchedule,
)
LABELS = (
    'key', 'name', 'kind', 'start_drop', 'end_drop', 'epochs',
    'iters_per_epoch', 'size', 'seed', 'tag', 'func', 'drop',
)  # fmt: skip
SCORES = dict(magnitude=score_magnitude, l2_magnitude=score_l2_magnitude)


def each(cases, name='case'):
    """One test per case, named by what tells it apart."""

    def label(case):
        if not isinstance(case, dict):
            return str(case)
        parts = {**case, **case.get('row', {})}
        return '-'.join(str(parts[k]) for k in LABELS if k in parts)

    return pytest.mark.parametrize(name, list(cases), ids=label)


def original_schedule(kind, start, end, epochs, iters, cooldown=0):
    schedule = KINDS[kind](start, end, quantum=0.2, cooldown=cooldown)
    return schedule.resolve(epochs * iters, iters)


def named_schedule(name, epochs, iters):
    # Such as ``cyclic(0.8,-0.1)`` or ``fixed(0.4)``.
    kind, numbers = re.fullmatch(r'(\w+)\((.*)\)', name).groups()
    numbers = [float(number) for number in numbers.split(',')]
    return original_schedule(kind, numbers[0], numbers[-1], epochs, iters)


def schedules():
    for _, cases in values.matching('pss', 'schedules'):
        yield from cases


@each(schedules())
def test_schedule(case):
    schedule = original_schedule(
        case['kind'],
        case['start_drop'],
        case['end_drop'],
        case['epochs'],
        case['iters_per_epoch'],
        case['cooldown_epochs'],
    )
    found = [schedule.value(t) for t in case['steps']]
    assert found == case['drop_ratio']  # to the last bit


def histograms():
    for key, cases in values.matching('pss', 'schedule_histograms_*'):
        epochs, iters = re.search(r'(\d+)ep_(\d+)it', key).groups()
        for name, case in cases.items():
            yield dict(name=name, epochs=int(epochs), iters=int(iters), **case)


@each(histograms())
def test_histogram(case):
    total = case['epochs'] * case['iters']
    schedule = named_schedule(case['name'], case['epochs'], case['iters'])
    counts = Counter(schedule.value(t) for t in range(total))
    assert {float(k) for k in case['fractions']} == set(counts)
    for level, fraction in case['fractions'].items():
        assert math.isclose(counts[float(level)] / total, fraction)
    mean = sum(level * count for level, count in counts.items()) / total
    assert math.isclose(mean, case['mean_drop'])


def keep_rows():
    for _, case in values.matching('pss', 'keep_total_tokens_incl_cls'):
        assert case['columns'] == [
            'N_incl_cls',
            'drop_ratio',
            'tokens_kept_incl_cls',
        ]
        yield from case['rows']


@each(keep_rows(), 'row')
def test_keep_count(row):
    tokens, drop_ratio, kept = row
    if drop_ratio >= 1:
        pytest.skip('drop ratio 1 is refused')
    # Counts below the prefix are a bug of the original: it drops cls too and
    # crashes. Ours keeps the prefix.
    expected = max(kept, 1)
    assert keep_count(tokens, drop_ratio, min_patches=0) == expected
    assert keep_count(tokens, drop_ratio) == max(kept, 2)


def selections():
    for _, case in values.matching('pss', 'selection'):
        for x, rows in (('x', 'rows'), ('x_notie', 'rows_notie')):
            for row in case.get(rows, ()):
                yield dict(x=case[x], **row)


@each(selections())
def test_selection(case):
    x = torch.tensor(case['x'])  # class token first
    count = keep_count(x.size(1), case['drop'], min_patches=0)
    kept = select_tokens(SCORES[case['func']](x[:, 1:]), count)
    assert list(kept.shape) == case['shape']
    assert kept.tolist() == case['patch_idxs']
    if 'batch_idxs' in case:
        rows = torch.arange(len(kept)).repeat_interleave(count)
        assert rows.tolist() == case['batch_idxs']


def random_selections():
    for _, case in values.matching('pss', 'selection'):
        for key, value in case.items():
            found = re.fullmatch(r'random_seed(\d+)_drop([\d.]+)', key)
            if found:
                yield dict(
                    x=case['x_notie'],
                    seed=int(found[1]),
                    drop=float(found[2]),
                    **value,
                )


@each(random_selections())
def test_random_selection(case):
    x = torch.tensor(case['x'])
    generator = torch.Generator().manual_seed(case['seed'])
    count = keep_count(x.size(1), case['drop'])
    kept = select_tokens(score_random(x[:, 1:], generator), count)
    assert kept.tolist() == case['patch_idxs']


# ------------------------------------------------------- relative positions
def grid_cases(pattern):
    for key, case in values.matching('pss', pattern):
        h, w = re.search(r'(\d+)x(\d+)', key).groups()
        yield dict(size=(int(h), int(w)), **case)


def rel_indices():
    return grid_cases('rel_index_*')


@each(rel_indices())
def test_relative_position_index(case):
    index = relative_position_index(case['size'])
    assert index.max() + 1 == case['num_relative_distance']
    assert index.tolist() == case['index']


def selected_biases():
    return grid_cases('selected_bias_*')


@each(selected_biases())
def test_selected_bias(case):
    index = relative_position_index(case['size'])
    rows = torch.arange(int(index.max()) + 1.0)
    table = torch.stack((2 * rows, -(2 * rows + 1)), dim=1)
    kept = torch.tensor(case['kept'])
    bias = gather_position_bias(table, select_index_pairs(index, kept))
    assert bias.tolist() == case['bias_BHqk']


def tiny_models():
    for _, value in values.matching('pss', 'tiny_model'):
        for case in value['cases']:
            for row in case['rows']:
                yield dict(case, row=row)


@pytest.mark.parametrize('fused_attn', [False, True], ids=['exact', 'fused'])
@each(tiny_models())
def test_tiny_model(case, fused_attn):
    row = case['row']
    backbone, head = build_tiny_model(
        case,
        drop_ratio=row['drop'],
        scorer=row['func'],
        fused_attn=fused_attn,
    )
    images = recipe_images()
    (_, kept), shape = backbone.get_patch_info(images)
    assert kept.view(shape).tolist() == row['kept']
    logits = head(backbone(images)[0])
    expected = torch.tensor(row['logits'])
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    logits.square().sum().backward()
    parameters = dict(backbone.named_parameters())
    for name, norm in row['grad_norm'].items():
        found = float(parameters[our_name(name)].grad.norm())
        assert math.isclose(found, norm, rel_tol=1e-4, abs_tol=1e-6), name


@each(dict(case, key=k) for k, case in values.matching('pss', 'loop_order_*'))
def test_loop_order(case):
    """The value meant for an iteration is the one that it uses.

    The original with SimMIM uses the previous iteration's and logs the next
    one's; what it intended is recorded. The one with DeiT uses the right one.
    """
    name = case.get('schedule', 'cyclic(0.8,-0.1)')
    epochs, iters = case['epochs'], case['iters_per_epoch']
    schedule = named_schedule(name, epochs, iters)
    found = [schedule.value(t) for t in range(epochs * iters)]
    assert found == case.get('intended', case['used'])


def test_drop_ratio_one_is_an_error():
    with pytest.raises(ValueError, match=r'\[0, 1\), got 1.0'):
        keep_count(197, 1.0)


def first_of_each_model():
    """One case per model of the file, whatever models it has."""
    return {case['tag']: case for case in tiny_models()}.values()


@each(first_of_each_model())
def test_off_switch(case):
    """At drop ratio 0, the stock network bit for bit."""
    ours, _ = build_tiny_model(case, fused_attn=False)
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
    images = recipe_images()
    difference = (stock(images)[0] - ours(images)[0]).abs().max()
    for _, recorded in values.matching('pss', 'plain_vit_equals_pss_*'):
        assert float(difference) <= recorded


@each(first_of_each_model())
def test_token_order(case):
    """Attention does not mind the order of tokens, up to rounding."""
    images = recipe_images()
    outputs = []
    for order in ('score', 'index'):
        model, head = build_tiny_model(case, token_order=order, drop_ratio=0.4)
        outputs.append(head(model(images)[0]))
    for _, recorded in values.matching('pss', 'pss_sorted_*'):
        assert math.isfinite(recorded)
        torch.testing.assert_close(*outputs, rtol=0, atol=10 * recorded)


@each(first_of_each_model())
def test_a_patch_always_stays(case):
    model, head = build_tiny_model(case, drop_ratio=0.99)
    logits = head(model(recipe_images())[0])
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
    gated(recipe_images())[0].square().sum().backward()
    assert all(p.grad is not None for p in gated.token_gate.parameters())
    assert gated.token_gate.fc2.weight.grad.abs().sum() > 0


# --------------------------------------------------------------- can they fail
def bump_logit(case):
    case['row']['logits'][0][0] += 0.01


def bump_kept(case):
    kept = case['row']['kept'][0]
    kept[1], kept[-1] = kept[-1], kept[1] + 100


def exact_model(case):
    test_tiny_model(case, False)


PERTURBATIONS = {
    'schedule': (test_schedule, schedules, bump('drop_ratio')),
    'histogram': (test_histogram, histograms, bump('mean_drop')),
    'keep count': (test_keep_count, keep_rows, bump(2)),
    'selection': (test_selection, selections, bump('patch_idxs')),
    'random selection': (
        test_random_selection,
        random_selections,
        bump('patch_idxs'),
    ),
    'index': (test_relative_position_index, rel_indices, bump('index')),
    'bias': (test_selected_bias, selected_biases, bump('bias_BHqk')),
    'logits': (exact_model, tiny_models, changed(bump_logit)),
    'kept': (exact_model, tiny_models, changed(bump_kept)),
}
