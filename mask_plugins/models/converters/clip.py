# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""CLIP checkpoints of OpenAI, Hugging Face and mmpretrain.

All are brought to OpenAI's names first; from these, the visual tower gets
those of mmpretrain's ``VisionTransformer`` (which
``openai-clip_to_mmpretrain-clip.py`` of mmpretrain gives it too), and the text
tower those of :class:`mask_plugins.models.clip_text_tower.CLIPTextTower`.
"""

import re
from typing import Dict, List, Tuple

import torch
from torch import Tensor

from .vit import Conversion

_Map = Tuple[Tuple[str, str], ...]

_FROM_HF: _Map = (
    (r'vision_model\.embeddings\.class_embedding', 'visual.class_embedding'),
    (r'vision_model\.embeddings\.patch_embedding\.', 'visual.conv1.'),
    (
        r'vision_model\.embeddings\.position_embedding\.weight',
        'visual.positional_embedding',
    ),
    (r'vision_model\.pre_layrnorm\.', 'visual.ln_pre.'),
    (r'vision_model\.post_layernorm\.', 'visual.ln_post.'),
    (r'vision_model\.encoder\.layers\.', 'visual.transformer.resblocks.'),
    (r'text_model\.embeddings\.token_embedding\.', 'token_embedding.'),
    (
        r'text_model\.embeddings\.position_embedding\.weight',
        'positional_embedding',
    ),
    (r'text_model\.final_layer_norm\.', 'ln_final.'),
    (r'text_model\.encoder\.layers\.', 'transformer.resblocks.'),
    (r'\.layer_norm([12])\.', r'.ln_\1.'),
    (r'\.self_attn\.', '.attn.'),
    (r'\.mlp\.fc1\.', '.mlp.c_fc.'),
    (r'\.mlp\.fc2\.', '.mlp.c_proj.'),
)
_FROM_MMPRETRAIN: _Map = (
    (r'^visual\.patch_embed\.projection\.', 'visual.conv1.'),
    (r'^visual\.pos_embed$', 'visual.positional_embedding'),
    (r'^visual\.cls_token$', 'visual.class_embedding'),
    (r'^visual\.pre_norm\.', 'visual.ln_pre.'),
    (r'^visual\.ln1\.', 'visual.ln_post.'),
    (r'^visual\.layers\.(\d+)\.ln', r'visual.transformer.resblocks.\1.ln_'),
    (r'^visual\.layers\.', 'visual.transformer.resblocks.'),
    (r'\.ffn\.layers\.0\.0\.', '.mlp.c_fc.'),
    (r'\.ffn\.layers\.1\.', '.mlp.c_proj.'),
    (r'\.attn\.qkv\.', '.attn.in_proj_'),
    (r'^(visual.*)\.attn\.proj\.', r'\1.attn.out_proj.'),
    (r'^visual_proj\.proj$', 'visual.proj'),
)
_TO_BACKBONE: _Map = (
    (r'^visual\.conv1\.weight$', 'backbone.patch_embed.projection.weight'),
    (r'^visual\.positional_embedding$', 'backbone.pos_embed'),
    (r'^visual\.class_embedding$', 'backbone.cls_token'),
    (r'^visual\.ln_pre\.', 'backbone.pre_norm.'),
    (r'^visual\.ln_post\.', 'backbone.ln1.'),
    (r'^visual\.proj$', 'head.projection.weight'),
    (r'^visual\.transformer\.resblocks\.', 'backbone.layers.'),
    (r'\.ln_([12])\.', r'.ln\1.'),
    (r'\.mlp\.c_fc\.', '.ffn.layers.0.0.'),
    (r'\.mlp\.c_proj\.', '.ffn.layers.1.'),
    (r'\.attn\.in_proj_', '.attn.qkv.'),
    (r'\.attn\.out_proj\.', '.attn.proj.'),
)
_TO_TEXT: _Map = (
    (r'^transformer\.resblocks\.', 'encoder.layers.'),
    (r'\.attn\.', '.self_attn.'),
    (r'\.ln_([12])\.', r'.norm\1.'),
    (r'\.mlp\.c_fc\.', '.linear1.'),
    (r'\.mlp\.c_proj\.', '.linear2.'),
)


def to_openai_names(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """A CLIP state dict of any of the three under OpenAI's names, in fp32.

    Args:
        state (dict[str, Tensor]): Weights of the whole CLIP.

    Raises:
        ValueError: If it is none of the three, or has no text or no visual
            transformer.
    """
    if 'visual.conv1.weight' in state:
        named = dict(state)
    elif 'visual.patch_embed.projection.weight' in state:
        named = {_rename(k, _FROM_MMPRETRAIN): v for k, v in state.items()}
        for key in ('class_embedding', 'positional_embedding'):
            named[f'visual.{key}'] = named[f'visual.{key}'].flatten(0, -2)
        named['visual.class_embedding'] = named[
            'visual.class_embedding'
        ].flatten()
    elif 'vision_model.embeddings.patch_embedding.weight' in state:
        named = _from_hugging_face(state)
    else:
        raise ValueError(
            'this is no CLIP with a vision transformer: expected the names '
            'of OpenAI (visual.conv1.weight), of Hugging Face (vision_model.'
            'embeddings.patch_embedding.weight) or of mmpretrain (visual.'
            f'patch_embed.projection.weight), got {sorted(state)[:5]}'
        )
    missing = [
        key
        for key in ('visual.class_embedding', 'visual.proj', 'logit_scale',
                    'text_projection', 'token_embedding.weight')
        if key not in named
    ]  # fmt: skip
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
    """
    named = to_openai_names(state)
    converted: Dict[str, Tensor] = {}
    mapped: List[Tuple[str, str]] = []
    dropped: List[Tuple[str, str]] = []
    for key, value in named.items():
        if key == 'logit_scale':
            new = 'head.logit_scale'
        elif key.startswith('visual.'):
            new = _rename(key, _TO_BACKBONE)
        else:
            dropped.append((key, 'text tower, see clip_prototypes.py'))
            continue
        if key == 'visual.proj':
            value = value.t()
        elif key == 'visual.class_embedding':
            value = value[None, None]
        elif key == 'visual.positional_embedding':
            value = value[None]
        converted[new] = value
        mapped.append((key, new))
    return Conversion(converted, mapped, dropped, _backbone(named))


def text_tower_weights(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """The text tower, under the names of ``CLIPTextTower``."""
    return {
        _rename(key, _TO_TEXT): value
        for key, value in to_openai_names(state).items()
        if not key.startswith('visual.') and value.is_floating_point()
    }


def _rename(key: str, table: _Map) -> str:
    for pattern, new in table:
        key = re.sub(pattern, new, key)
    return key


def _from_hugging_face(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    named: Dict[str, Tensor] = {}
    for key, value in state.items():
        if key.endswith('position_ids'):  # constants of older versions
            continue
        if key == 'visual_projection.weight':
            named['visual.proj'] = value.t()
        elif key == 'text_projection.weight':
            named['text_projection'] = value.t()
        elif re.search(r'\.[kv]_proj\.', key):
            continue  # with the query
        elif '.q_proj.' in key:
            parts = [state[key.replace('.q_', f'.{c}_')] for c in 'qkv']
            new = _rename(key, _FROM_HF).replace('q_proj.', 'in_proj_')
            named[new] = torch.cat(parts)
        else:
            named[_rename(key, _FROM_HF)] = value
    return named


def _backbone(named: Dict[str, Tensor]) -> Dict[str, object]:
    """Config of the backbone that the weights fit."""
    stem = named['visual.conv1.weight']
    positions = named['visual.positional_embedding'].shape[0] - 1
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
