# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""CLIP checkpoints of OpenAI, Hugging Face and mmpretrain.

All are brought to OpenAI's names first. From these, the visual tower gets
those of mmpretrain's ``VisionTransformer``, and the text tower those of
``CLIPTextModelWithProjection`` of transformers.
"""

import re
from typing import Dict, List, NamedTuple, Tuple

import torch
from torch import Tensor

from .vit import Conversion


class _Names(NamedTuple):
    """What one part of a tower is called."""

    openai: str
    hugging_face: str
    mmpretrain: str


_BLOCKS = _Names('transformer.resblocks.', 'encoder.layers.', 'layers.')
_OUTSIDE = (
    _Names('conv1.', 'embeddings.patch_embedding.', 'patch_embed.projection.'),
    _Names('class_embedding', 'embeddings.class_embedding', 'cls_token'),
    _Names(
        'positional_embedding',
        'embeddings.position_embedding.weight',
        'pos_embed',
    ),
    _Names('ln_pre.', 'pre_layrnorm.', 'pre_norm.'),
    _Names('ln_post.', 'post_layernorm.', 'ln1.'),
    _Names('ln_final.', 'final_layer_norm.', 'ln_final.'),
    _Names(
        'token_embedding.', 'embeddings.token_embedding.', 'token_embedding.'
    ),
)
_IN_BLOCK = (
    _Names('ln_1.', 'layer_norm1.', 'ln1.'),
    _Names('ln_2.', 'layer_norm2.', 'ln2.'),
    # Hugging Face has three of these, q_proj. and so on.
    _Names('attn.in_proj_', 'self_attn.in_proj_', 'attn.qkv.'),
    _Names('attn.out_proj.', 'self_attn.out_proj.', 'attn.proj.'),
    _Names('mlp.c_fc.', 'mlp.fc1.', 'ffn.layers.0.0.'),
    _Names('mlp.c_proj.', 'mlp.fc2.', 'ffn.layers.1.'),
)
_NEEDED = (
    'visual.conv1.weight', 'visual.class_embedding',
    'visual.positional_embedding', 'visual.proj', 'logit_scale',
    'visual.transformer.resblocks.0.mlp.c_fc.bias', 'text_projection',
    'positional_embedding', 'token_embedding.weight',
)  # fmt: skip


def to_openai_names(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """A CLIP state dict of any of the three under OpenAI's names, in fp32.

    Args:
        state (dict[str, Tensor]): Weights of the whole CLIP.

    Raises:
        ValueError: If it is none of the three, or has no text or no visual
            transformer.
    """
    if 'visual.conv1.weight' in state:
        # The causal mask is an attribute in OpenAI's archive.
        named = {k: v for k, v in state.items() if 'attn_mask' not in k}
    elif 'visual.patch_embed.projection.weight' in state:
        named = _from_mmpretrain(state)
    elif 'vision_model.embeddings.patch_embedding.weight' in state:
        named = _from_hugging_face(state)
    else:
        raise ValueError(
            'not a CLIP with a vision transformer: expected the names of '
            f'OpenAI, Hugging Face or mmpretrain, got {sorted(state)[:5]}'
        )
    missing = [key for key in _NEEDED if key not in named]
    if missing:
        raise ValueError(f'the checkpoint has no {", ".join(missing)}')
    return {
        k: v.float() if v.is_floating_point() else v for k, v in named.items()
    }


def convert_clip(state: Dict[str, Tensor]) -> Conversion:
    """The visual tower for an ``ImageClassifier`` with a text head.

    Args:
        state (dict[str, Tensor]): Weights of the whole CLIP, of any source.

    Returns:
        Conversion: ``backbone.*`` for ``VisionTransformer(pre_norm=True)``,
        ``head.projection.weight`` and ``head.logit_scale`` for
        :class:`mask_plugins.models.heads.TextPrototypeClsHead`.

    Raises:
        ValueError: If it is not a CLIP, see :func:`to_openai_names`.

    Examples:
        >>> convert_clip(dict(a=torch.ones(1)))
        Traceback (most recent call last):
        ...
        ValueError: not a CLIP with a vision transformer: expected the names \
of OpenAI, Hugging Face or mmpretrain, got ['a']
    """
    named = to_openai_names(state)
    # As mmpretrain has them.
    token = named['visual.class_embedding']
    named['visual.class_embedding'] = token[None, None]
    positions = named['visual.positional_embedding']
    named['visual.positional_embedding'] = positions[None]
    heads = {
        'logit_scale': ('head.logit_scale', named['logit_scale']),
        'visual.proj': ('head.projection.weight', named['visual.proj'].t()),
    }
    converted: Dict[str, Tensor] = {}
    mapped: List[Tuple[str, str]] = []
    dropped: List[Tuple[str, str]] = []
    for key, value in named.items():
        if key in heads:
            new, value = heads[key]
        elif key.startswith('visual.'):
            new = 'backbone.' + _translate(key[7:], 'openai', 'mmpretrain')
        else:
            dropped.append((key, 'text tower, see clip_prototypes.py'))
            continue
        converted[new] = value
        mapped.append((key, new))
    return Conversion(converted, mapped, dropped, _backbone(named))


def text_tower_weights(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """The text tower and ``logit_scale``, under transformers' names.

    Args:
        state (dict[str, Tensor]): Weights of the whole CLIP, of any source.

    Returns:
        dict[str, Tensor]: For ``CLIPTextModelWithProjection``, and
        ``logit_scale``.

    Raises:
        ValueError: If it is not a CLIP, see :func:`to_openai_names`.

    Examples:
        >>> text_tower_weights(dict(a=torch.ones(1)))
        Traceback (most recent call last):
        ...
        ValueError: not a CLIP with a vision transformer: ...
    """
    weights: Dict[str, Tensor] = {}
    for key, value in to_openai_names(state).items():
        if key == 'text_projection':
            weights['text_projection.weight'] = value.t().contiguous()
        elif key == 'logit_scale':
            weights[key] = value
        elif value.is_floating_point() and not key.startswith('visual.'):
            new = 'text_model.' + _translate(key, 'openai', 'hugging_face')
            head, found, kind = new.partition('in_proj_')
            parts = zip('qkv', value.chunk(3)) if found else ()
            weights.update((f'{head}{c}_proj.{kind}', v) for c, v in parts)
            if not found:
                weights[new] = value
    return weights


def _translate(name: str, source: str, target: str) -> str:
    """A name inside a tower, as another library has it."""
    head, rows = '', _OUTSIDE
    blocks = re.match(rf'{getattr(_BLOCKS, source)}(\d+\.)', name)
    if blocks:
        head, rows = f'{getattr(_BLOCKS, target)}{blocks[1]}', _IN_BLOCK
        name = name[blocks.end() :]
    for row in rows:
        old = getattr(row, source)
        if name.startswith(old):
            return head + getattr(row, target) + name[len(old) :]
    return head + name


def _from_mmpretrain(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    named: Dict[str, Tensor] = {}
    for key, value in state.items():
        if key == 'visual_proj.proj':
            key = 'visual.proj'
        elif key.startswith('visual.'):
            key = 'visual.' + _translate(key[7:], 'mmpretrain', 'openai')
        if key == 'visual.positional_embedding':
            value = value.flatten(0, -2)
        elif key == 'visual.class_embedding':
            value = value.flatten()
        named[key] = value
    return named


def _from_hugging_face(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    named: Dict[str, Tensor] = {}
    for key, value in state.items():
        if key.endswith('position_ids') or re.search(r'\.[kv]_proj\.', key):
            continue  # constants of older versions; with the query
        if '.q_proj.' in key:
            parts = [key.replace('.q_', f'.{letter}_') for letter in 'qkv']
            missing = [name for name in parts if name not in state]
            if missing:
                raise ValueError(f'the checkpoint has no {missing[0]}')
            value = torch.cat([state[name] for name in parts])
            key = key.replace('q_proj.', 'in_proj_')
        tower, _, name = key.partition('_model.')
        if key == 'visual_projection.weight':
            key, value = 'visual.proj', value.t()
        elif key == 'text_projection.weight':
            key, value = 'text_projection', value.t()
        elif name:
            prefix = 'visual.' if tower == 'vision' else ''
            key = prefix + _translate(name, 'hugging_face', 'openai')
        named[key] = value
    return named


def _backbone(named: Dict[str, Tensor]) -> Dict[str, object]:
    """Config of the backbone that the weights fit."""
    stem = named['visual.conv1.weight']
    positions = named['visual.positional_embedding'].shape[-2] - 1
    blocks = 'visual.transformer.resblocks.'
    depth = len({k.split('.')[3] for k in named if k.startswith(blocks)})
    width, patch = stem.shape[0], stem.shape[-1]
    return dict(
        type='VisionTransformer',
        arch=dict(
            embed_dims=width,
            num_layers=depth,
            num_heads=max(width // 64, 1),
            feedforward_channels=named[f'{blocks}0.mlp.c_fc.bias'].shape[0],
        ),
        img_size=round(positions**0.5) * patch,
        patch_size=patch,
        pre_norm=True,
        norm_cfg=dict(type='LN', eps=1e-5),
        layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')),
    )
