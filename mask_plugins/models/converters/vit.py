# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Key maps of SimMIM's and DeiT's vision transformers.

Both are timm's names with BEiT's additions (``q_bias``, ``v_bias``,
``gamma_1``, ``relative_position_bias_table``), so one map serves both.
"""

import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from torch import Tensor

from mask_plugins.utils.checks import check_choice

# Pattern of the original's key -> ours. The norm before the head is another
# module for each read-out: `fc_norm` after the mean, `norm` before the class
# token is taken.
_BLOCK, _LAYER = r'blocks\.(\d+)\.', r'backbone.layers.\1.'
_KEY_MAP = (
    (r'(cls_token|pos_embed)', r'backbone.\1'),
    (r'patch_embed\.proj\.(\w+)', r'backbone.patch_embed.projection.\1'),
    (rf'{_BLOCK}norm([12])\.(\w+)', rf'{_LAYER}ln\2.\3'),
    (
        rf'{_BLOCK}attn\.'
        r'(q_bias|v_bias|relative_position_bias_table|qkv\.weight|proj\.\w+)',
        rf'{_LAYER}attn.\2',
    ),
    (rf'{_BLOCK}mlp\.fc1\.(\w+)', rf'{_LAYER}ffn.layers.0.0.\2'),
    (rf'{_BLOCK}mlp\.fc2\.(\w+)', rf'{_LAYER}ffn.layers.1.\2'),
    (rf'{_BLOCK}(gamma_[12])', rf'{_LAYER}\2'),
    (r'norm\.(\w+)', r'backbone.ln1.\1'),
    (r'fc_norm\.(\w+)', r'backbone.ln2.\1'),
    (r'head\.(\w+)', r'head.fc.\1'),
)
_SHARED_TABLE = 'rel_pos_bias.relative_position_bias_table'
_QKV_BIAS = re.compile(rf'{_BLOCK}attn\.qkv\.bias')


class Conversion(NamedTuple):
    """What became of a checkpoint.

    Args:
        state_dict (dict[str, Tensor]): Weights under our names, with the
            prefixes ``backbone.`` and ``head.`` of ``ImageClassifier``.
        mapped (list[tuple[str, str]]): Original key, our keys.
        dropped (list[tuple[str, str]]): Original key, why it is left out.
        backbone (dict): Config of the backbone that the weights fit, read
            off their names and shapes.

    Examples:
        >>> found = Conversion({}, [], [('mask_token', 'not used')], {})
        >>> found.dropped
        [('mask_token', 'not used')]
    """

    state_dict: Dict[str, Tensor]
    mapped: List[Tuple[str, str]]
    dropped: List[Tuple[str, str]]
    backbone: dict


def convert_simmim(
    weights: Dict[str, Tensor], out_type: Optional[str] = None
) -> Conversion:
    """Convert a ViT of SimMIM, pre-trained or fine-tuned.

    A pre-training checkpoint has the transformer under ``encoder.``, next to
    a mask token and a decoder, which are left out; its one table of relative
    positions is copied to every block.

    Args:
        weights (dict[str, Tensor]): Its state dict.
        out_type (str, optional): Read-out of the backbone to fill,
            ``'avg_featmap'`` or ``'cls_token'``. None is the checkpoint's
            own; for pre-training, which reads out no image feature,
            ``'avg_featmap'``. Defaults to None.

    Returns:
        Conversion: The result.

    Raises:
        ValueError: If a key is not one of SimMIM's, or one is missing.

    Examples:
        >>> convert_simmim({})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: ...
    """
    dropped, inner = [], {}
    pretraining = any(key.startswith('encoder.') for key in weights)
    if pretraining:
        out_type = out_type or 'avg_featmap'
    for key, value in weights.items():
        name = key[len('encoder.') :] if key.startswith('encoder.') else key
        if pretraining and key.startswith('decoder.'):
            dropped.append((key, 'decoder of the pre-training'))
        elif name == 'mask_token':
            dropped.append((name, 'stands for patches in pre-training'))
        else:
            inner[name] = value
    return _convert(inner, 'SimMIM', out_type, dropped)


def convert_deit(weights: Dict[str, Tensor]) -> Conversion:
    """Convert a DeiT, stock (timm's names) or of the PSS repository.

    timm has one bias for queries, keys and values. Ours has none for the
    keys, and needs none: a key bias adds the same :math:`q^T b_k` to every
    logit of a query, which the softmax over the keys cancels, also under a
    relative position bias. So leaving it out changes no output.

    Args:
        weights (dict[str, Tensor]): Its state dict.

    Returns:
        Conversion: The result.

    Raises:
        ValueError: If a key is not one of DeiT's, or one is missing
            (distilled DeiTs, with a second class token, are not taken).

    Examples:
        >>> convert_deit({})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: ...
    """
    return _convert(weights, 'DeiT', None, [])


def _convert(
    weights: Dict[str, Tensor],
    source: str,
    out_type: Optional[str],
    dropped: List[Tuple[str, str]],
) -> Conversion:
    check_choice('out_type', out_type, (None, 'avg_featmap', 'cls_token'))
    if out_type is None:
        mean = 'fc_norm.weight' in weights
        out_type = 'avg_featmap' if mean else 'cls_token'
    backbone = _describe(weights, source, out_type)
    state_dict: Dict[str, Tensor] = {}
    mapped: List[Tuple[str, str]] = []
    unexpected = []
    for key, value in weights.items():
        qkv_bias = _QKV_BIAS.fullmatch(key)
        name = _rename(key)
        if key.endswith('relative_position_index'):
            dropped.append((key, 'computed from the size of the grid'))
        elif key == _SHARED_TABLE:
            names = [
                f'backbone.layers.{i}.attn.relative_position_bias_table'
                for i in range(backbone['arch']['num_layers'])
            ]
            state_dict.update((name, value.clone()) for name in names)
            mapped.append((key, f'{names[0]}, and of every block'))
        elif qkv_bias:
            attn = f'backbone.layers.{qkv_bias[1]}.attn'
            q_bias, _, v_bias = value.chunk(3)
            state_dict[f'{attn}.q_bias'] = q_bias
            state_dict[f'{attn}.v_bias'] = v_bias
            mapped.append((key, f'{attn}.q_bias, v_bias'))
        elif key.startswith('norm.') and out_type == 'avg_featmap':
            dropped.append((key, 'mean pooling has a norm of its own'))
        elif key.startswith('fc_norm.') and out_type == 'cls_token':
            dropped.append((key, 'the class token has a norm of its own'))
        elif name is None:
            unexpected.append(key)
        else:
            state_dict[name] = value
            mapped.append((key, name))
    if unexpected:
        listed = ', '.join(unexpected)
        raise ValueError(f'not a ViT of {source}: unexpected keys: {listed}')
    return Conversion(state_dict, mapped, dropped, backbone)


def _rename(key: str) -> Optional[str]:
    for pattern, name in _KEY_MAP:
        if match := re.fullmatch(pattern, key):
            return match.expand(name)
    return None


def _describe(weights: Dict[str, Tensor], source: str, out_type: str) -> dict:
    """The config of the backbone, off the names and shapes of the weights."""
    matches = (re.match(_BLOCK, key) for key in weights)
    depth = max((int(found[1]) + 1 for found in matches if found), default=0)
    blocks = [f'blocks.{i}.' for i in range(depth or 1)]
    parts = ('norm1', 'norm2', 'attn.proj', 'mlp.fc1', 'mlp.fc2')
    layers = [f'{block}{part}' for block in blocks for part in parts]
    layers.append('patch_embed.proj')
    needed = [f'{layer}.{x}' for layer in layers for x in ('weight', 'bias')]
    needed += ['cls_token', *(f'{block}attn.qkv.weight' for block in blocks)]
    missing = [key for key in needed if key not in weights]
    if missing:
        unexpected = [
            key
            for key in weights
            if _rename(key) is None and not _QKV_BIAS.fullmatch(key)
        ]
        raise ValueError(
            f'not a ViT of {source}: {len(missing)} keys are missing, the '
            f'first {missing[0]!r}; unexpected keys: {unexpected}'
        )
    width = weights['cls_token'].shape[-1]
    patch = weights['patch_embed.proj.weight'].shape[-1]
    table = weights.get(
        'blocks.0.attn.relative_position_bias_table',
        weights.get(_SHARED_TABLE),
    )
    # Without a table nothing tells: all of timm's ViTs have heads of 64.
    heads = width // 64 if table is None else table.shape[1]
    hidden = weights['blocks.0.mlp.fc1.weight'].shape[0]
    if 'pos_embed' in weights:
        grid = round((weights['pos_embed'].shape[1] - 1) ** 0.5)
    elif table is not None:
        grid = (round((len(table) - 3) ** 0.5) + 1) // 2
    else:
        grid = 224 // patch  # nothing in the file depends on it
    gamma = weights.get('blocks.0.gamma_1')
    return dict(
        type='mask_plugins.PSSVisionTransformer',
        arch=dict(
            embed_dims=width,
            num_layers=depth,
            num_heads=heads,
            feedforward_channels=hidden,
        ),
        img_size=grid * patch,
        patch_size=patch,
        in_channels=weights['patch_embed.proj.weight'].shape[1],
        out_type=out_type,
        use_abs_pos_emb='pos_embed' in weights,
        use_rel_pos_bias=table is not None,
        # any value but 0 makes room for the loaded ones
        layer_scale_init_value=0.0 if gamma is None else 0.1,
    )
