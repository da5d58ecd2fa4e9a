# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How each golden value of PSS is compared, and how it could be wrong."""

import math
import re
from collections import Counter

import torch
from torch import nn

from mask_plugins.core.schedules import (
    ConstantSchedule,
    CosineSchedule,
    CyclicSchedule,
    LinearSchedule,
)
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

from . import values
from .perturb import bump, changed

KINDS = dict(
    linear=LinearSchedule,
    cosine=CosineSchedule,
    cyclic=CyclicSchedule,
    fixed=ConstantSchedule,
)
SCORES = dict(magnitude=score_magnitude, l2_magnitude=score_l2_magnitude)


def original_schedule(kind, start, end, epochs, iters, cooldown=0):
    schedule = KINDS[kind](
        start, end, quantum=0.2, cooldown=cooldown, parity=True
    )
    return schedule.resolve(epochs * iters, iters)


def named_schedule(name, epochs, iters):
    """Of a name such as ``cyclic(0.8,-0.1)`` or ``fixed(0.4)``."""
    kind, numbers = re.fullmatch(r'(\w+)\((.*)\)', name).groups()
    numbers = [float(number) for number in numbers.split(',')]
    return original_schedule(kind, numbers[0], numbers[-1], epochs, iters)


# ---------------------------------------------------------------- schedules
def schedules():
    for _, cases in values.matching('pss', 'schedules'):
        yield from cases


def schedule_id(case):
    return '{kind}-{start_drop}-{end_drop}-{epochs}x{iters_per_epoch}'.format(
        **case
    )


def check_schedule(case):
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


def check_histogram(case):
    total = case['epochs'] * case['iters']
    schedule = named_schedule(case['name'], case['epochs'], case['iters'])
    counts = Counter(schedule.value(t) for t in range(total))
    assert {float(k) for k in case['fractions']} == set(counts)
    for level, fraction in case['fractions'].items():
        assert math.isclose(counts[float(level)] / total, fraction)
    mean = sum(level * count for level, count in counts.items()) / total
    assert math.isclose(mean, case['mean_drop'])


# ---------------------------------------------------------------- selection
def keep_rows():
    for _, case in values.matching('pss', 'keep_total_tokens_incl_cls'):
        assert case['columns'] == [
            'N_incl_cls',
            'drop_ratio',
            'tokens_kept_incl_cls',
        ]
        yield from case['rows']


def check_keep_count(row):
    tokens, drop_ratio, kept = row
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


def selection_id(case):
    return '{func}-{drop}'.format(**case)


def check_selection(case):
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


def check_random_selection(case):
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


def check_rel_index(case):
    index = relative_position_index(case['size'])
    assert index.max() + 1 == case['num_relative_distance']
    assert index.tolist() == case['index']


def selected_biases():
    return grid_cases('selected_bias_*')


def check_selected_bias(case):
    index = relative_position_index(case['size'])
    rows = torch.arange(int(index.max()) + 1.0)
    table = torch.stack((2 * rows, -(2 * rows + 1)), dim=1)
    kept = torch.tensor(case['kept'])
    bias = gather_position_bias(table, select_index_pairs(index, kept))
    assert bias.tolist() == case['bias_BHqk']


# --------------------------------------------------------------- tiny models
def tiny_models():
    for _, value in values.matching('pss', 'tiny_model'):
        for case in value['cases']:
            for row in case['rows']:
                yield dict(case, row=row)


def tiny_model_id(case):
    return '{tag}-{row[func]}-{row[drop]}'.format(**case)


def our_name(name):
    """The key of an original parameter in our backbone."""
    for old, new in (
        ('blocks.', 'layers.'),
        ('norm1.', 'ln1.'),
        ('norm2.', 'ln2.'),
        ('mlp.fc1', 'ffn.layers.0.0'),
        ('mlp.fc2', 'ffn.layers.1'),
        ('patch_embed.proj', 'patch_embed.projection'),
        ('fc_norm.', 'ln2.'),
    ):
        name = name.replace(old, new)
    return 'ln1.' + name[5:] if name.startswith('norm.') else name


def recipe_weight(name, rank, shape):
    i = torch.arange(math.prod(shape), dtype=torch.float64)
    weight = 0.3 * torch.sin(0.7 * i + rank)
    if name.endswith(('norm1.weight', 'norm2.weight', 'norm.weight')):
        weight = weight + 1
    return weight.float().reshape(shape)


def build_tiny_model(case, **kwargs):
    """The backbone and head of a case, with its weights, in eval mode."""
    from mask_plugins.models.backbones import PSSVisionTransformer

    options = case['kwargs']
    mean = options.get('use_mean_pooling', True)
    shapes = case['param_shapes']
    width = shapes['cls_token'][-1]
    hidden = shapes['blocks.0.mlp.fc1.weight'][0]
    tables = [k for k in shapes if k.endswith('relative_position_bias_table')]
    blocks = {name.split('.')[1] for name in shapes if 'blocks.' in name}
    patch = shapes['patch_embed.proj.weight'][-1]
    backbone = PSSVisionTransformer(
        arch=dict(
            embed_dims=width,
            num_layers=len(blocks),
            num_heads=shapes[tables[0]][1] if tables else 2,
            feedforward_channels=hidden,
        ),
        img_size=32,
        patch_size=patch,
        out_type='avg_featmap' if mean else 'cls_token',
        use_abs_pos_emb=options.get('use_abs_pos_emb', False),
        use_rel_pos_bias=bool(tables),
        layer_scale_init_value=options.get('init_values') or 0.0,
        **kwargs,
    )
    head = nn.Linear(width, shapes['head.weight'][0])
    weights, head_weights = {}, {}
    for rank, name in enumerate(case['param_names_sorted']):
        weight = recipe_weight(name, rank, shapes[name])
        if name.startswith('head.'):
            head_weights[name[5:]] = weight
        else:
            weights[our_name(name)] = weight
    backbone.load_state_dict(weights)
    head.load_state_dict(head_weights)
    backbone.eval()
    return backbone, head


def recipe_images():
    i = torch.arange(2 * 3 * 32 * 32, dtype=torch.float64)
    return (1.5 * torch.sin(0.013 * i)).float().reshape(2, 3, 32, 32)


def check_tiny_model(case, fused_attn=False):
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


# --------------------------------------------------------------- can they fail
def bump_logit(case):
    case['row']['logits'][0][0] += 0.01


def bump_kept(case):
    kept = case['row']['kept'][0]
    kept[1], kept[-1] = kept[-1], kept[1] + 100


PERTURBATIONS = {
    'schedule': (check_schedule, schedules, bump('drop_ratio')),
    'histogram': (check_histogram, histograms, bump('mean_drop')),
    'keep count': (check_keep_count, keep_rows, bump(2)),
    'selection': (check_selection, selections, bump('patch_idxs')),
    'random selection': (
        check_random_selection,
        random_selections,
        bump('patch_idxs'),
    ),
    'index': (check_rel_index, rel_indices, bump('index')),
    'bias': (check_selected_bias, selected_biases, bump('bias_BHqk')),
    'logits': (check_tiny_model, tiny_models, changed(bump_logit)),
    'kept': (check_tiny_model, tiny_models, changed(bump_kept)),
}
