# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The small models whose outputs the golden values of PSS hold."""

import math

import torch
from torch import nn

from mask_plugins.models.backbones import PSSVisionTransformer


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
    options = case['kwargs']
    mean = options.get('use_mean_pooling', True)
    shapes = case['param_shapes']
    width = shapes['cls_token'][-1]
    hidden = shapes['blocks.0.mlp.fc1.weight'][0]
    tables = [k for k in shapes if k.endswith('relative_position_bias_table')]
    blocks = {name.split('.')[1] for name in shapes if 'blocks.' in name}
    heads = shapes[tables[0]][1] if tables else 2
    sizes = dict(embed_dims=width, feedforward_channels=hidden)
    backbone = PSSVisionTransformer(
        dict(sizes, num_layers=len(blocks), num_heads=heads),
        img_size=32,
        patch_size=shapes['patch_embed.proj.weight'][-1],
        out_type='avg_featmap' if mean else 'cls_token',
        use_abs_pos_emb=options.get('use_abs_pos_emb', False),
        use_rel_pos_bias=bool(tables),
        layer_scale_init_value=options.get('init_values') or 0.0,
        **kwargs,
    )
    head = nn.Linear(width, shapes['head.weight'][0])
    weights = {
        our_name(name): recipe_weight(name, rank, shapes[name])
        for rank, name in enumerate(case['param_names_sorted'])
    }
    for name in ('weight', 'bias'):
        getattr(head, name).data = weights.pop(f'head.{name}')
    backbone.load_state_dict(weights)
    backbone.eval()
    return backbone, head


def recipe_images():
    i = torch.arange(2 * 3 * 32 * 32, dtype=torch.float64)
    return (1.5 * torch.sin(0.013 * i)).float().reshape(2, 3, 32, 32)
