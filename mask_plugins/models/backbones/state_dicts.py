# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Make checkpoints of related vision transformers loadable."""

from typing import Dict, Tuple

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor, nn

SHARED_TABLE = 'rel_pos_bias.relative_position_bias_table'
BLOCK_TABLE = 'layers.{}.attn.relative_position_bias_table'


def adapt_vit_state_dict(
    model: nn.Module, state_dict: Dict[str, Tensor], prefix: str = ''
) -> None:
    """Rewrite a state dict in place to what ``PSSVisionTransformer`` has.

    Weights of mmpretrain's ``BEiTViT`` and ``VisionTransformer`` are
    accepted: index buffers are dropped, a fused qkv bias is split, layer
    scale is renamed, a shared bias table is copied to every block, and tables
    of another input size are resized.

    Args:
        model (nn.Module): The backbone that is going to load.
        state_dict (dict): What was read, changed in place.
        prefix (str): Prefix of the backbone's keys. Defaults to ''.
    """
    for key in [k for k in state_dict if k.startswith(prefix)]:
        name = key[len(prefix) :]
        if name.endswith('relative_position_index'):
            del state_dict[key]
        elif name.startswith('layers.') and name.endswith('attn.qkv.bias'):
            _split_qkv_bias(state_dict, key)
        elif name.endswith(('attn.gamma1.weight', 'ffn.gamma2.weight')):
            block = key.rsplit('.', 3)[0]
            number = 1 if 'gamma1' in name else 2
            state_dict[f'{block}.gamma_{number}'] = state_dict.pop(key)
    _share_table(model, state_dict, prefix)
    for key, own in model.named_parameters():
        if not key.endswith('relative_position_bias_table'):
            continue
        loaded = state_dict.get(prefix + key)
        if loaded is None or loaded.shape == own.shape:
            continue
        state_dict[prefix + key] = resize_bias_table(
            loaded, model.patch_resolution
        )
        print_log(
            f'resized {prefix + key} from {tuple(loaded.shape)} to '
            f'{tuple(own.shape)}',
            logger='current',
        )


def _split_qkv_bias(state_dict: Dict[str, Tensor], key: str) -> None:
    # The bias of the keys adds the same number to all logits of a query,
    # which softmax cancels: leaving it out changes nothing.
    q_bias, _, v_bias = state_dict.pop(key).chunk(3)
    attn = key[: -len('qkv.bias')]
    state_dict[f'{attn}q_bias'] = q_bias
    state_dict[f'{attn}v_bias'] = v_bias


def _share_table(
    model: nn.Module, state_dict: Dict[str, Tensor], prefix: str
) -> None:
    key = prefix + SHARED_TABLE
    if key not in state_dict or not model.use_rel_pos_bias:
        return
    table = state_dict.pop(key)
    for i in range(model.num_layers):
        state_dict[prefix + BLOCK_TABLE.format(i)] = table.clone()


def resize_bias_table(table: Tensor, resolution: Tuple[int, int]) -> Tensor:
    """Resize a relative-position table of a square grid to another grid.

    Near distances are kept as they are: the source is placed on a geometric
    progression whose step grows with the distance, then read at integer
    distances by a bicubic spline, as BEiT does.

    Args:
        table (Tensor): :math:`((2s-1)^2 + 3, H)`; the last three rows, for
            the class token, are copied.
        resolution (tuple[int, int]): The new grid (h, w).

    Returns:
        Tensor: :math:`((2h-1)(2w-1) + 3, H)`.

    Raises:
        ImportError: If scipy is not installed.
        ValueError: If the table is not of a square grid.
    """
    try:
        from scipy.interpolate import RectBivariateSpline
    except ImportError as error:
        raise ImportError(
            'the relative position bias of these weights is of another input '
            'size, and resizing it takes the splines of scipy: '
            'pip install scipy'
        ) from error

    rows = len(table) - 3
    source = round(rows**0.5)
    if rows < 1 or source**2 != rows or source % 2 == 0:
        raise ValueError(
            f'a relative position bias table has (2s-1)^2 + 3 rows, got '
            f'{len(table)}'
        )
    positions = [
        (_progression(source // 2, size - 1), np.arange(1 - size, size))
        for size in resolution
    ]
    (y_old, y_new), (x_old, x_new) = positions
    degree = min(3, source - 1)
    heads = []
    for column in table[:-3].double().cpu().numpy().T:
        if degree < 1:
            heads.append(np.full(y_new.size * x_new.size, column[0]))
            continue
        spline = RectBivariateSpline(
            y_old, x_old, column.reshape(source, source), kx=degree, ky=degree
        )
        heads.append(spline(y_new, x_new).reshape(-1))
    resized = torch.from_numpy(np.stack(heads, axis=1)).to(table)
    return torch.cat((resized, table[-3:]))


def _progression(steps: int, reach: int) -> np.ndarray:
    """Distances 1, 1+q, 1+q+q^2, ... of which the last is near ``reach``."""
    low, high = 1.01, 1.5
    while high - low > 1e-6:
        q = (low + high) / 2
        if (1 - q**steps) / (1 - q) > reach:
            high = q
        else:
            low = q
    distances = np.cumsum(q ** np.arange(steps))
    return np.concatenate((-distances[::-1], [0], distances))
