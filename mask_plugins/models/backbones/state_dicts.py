# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Make checkpoints of related vision transformers loadable."""

from typing import Dict, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.logging import print_log
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn

from mask_plugins.utils.openmmlab import imports_for

Grid = Tuple[int, int]

# Buffer of a backbone whose grid of patches is not a square: (rows, columns).
GRID = 'patch_grid'
TABLE = 'relative_position_bias_table'


def rename_vit_keys(
    model: nn.Module, state_dict: Dict[str, Tensor], prefix: str = ''
) -> None:
    """Rename keys in place to those of ``PSSVisionTransformer``.

    Weights of mmpretrain's ``BEiTViT`` and ``VisionTransformer`` are
    accepted: index buffers are dropped, a fused qkv bias is split, layer
    scale is renamed, and a shared bias table is copied to every block.

    Args:
        model (nn.Module): The backbone that will load the weights.
        state_dict (dict): What was read, changed in place.
        prefix (str): Prefix of the backbone's keys. Defaults to ''.
    """
    for key in [k for k in state_dict if k.startswith(prefix)]:
        name = key[len(prefix) :]
        if name.endswith('relative_position_index'):
            del state_dict[key]
        elif name.startswith('layers.') and name.endswith('attn.qkv.bias'):
            # The bias of the keys adds the same number to all logits of a
            # query, which softmax cancels: leaving it out changes nothing.
            q_bias, _, v_bias = state_dict.pop(key).chunk(3)
            attn = key[: -len('qkv.bias')]
            state_dict.update(
                {f'{attn}q_bias': q_bias, f'{attn}v_bias': v_bias}
            )
        elif name.endswith(('attn.gamma1.weight', 'ffn.gamma2.weight')):
            block, _, gamma, _ = key.rsplit('.', 3)
            state_dict[f'{block}.gamma_{gamma[-1]}'] = state_dict.pop(key)
    shared = f'{prefix}rel_pos_bias.{TABLE}'
    if shared in state_dict and model.use_rel_pos_bias:
        table = state_dict.pop(shared)
        for i in range(model.num_layers):
            state_dict[f'{prefix}layers.{i}.attn.{TABLE}'] = table.clone()


def fit_positions(
    model: nn.Module,
    state_dict: Dict[str, Tensor],
    prefix: str = '',
    grid: Optional[Sequence[int]] = None,
) -> None:
    """Resize position tables in place to the grid of the model.

    Args:
        model (nn.Module): The backbone that will load the weights.
        state_dict (dict): What was read, changed in place.
        prefix (str): Prefix of the backbone's keys. Defaults to ''.
        grid (Sequence[int], optional): The grid of the tables, if it is known
            and not in the state dict. Defaults to None.

    Raises:
        ValueError: If the grid that the tables belong to is not known, or is
            not the one that the file or ``pretrained_img_size`` says.
    """
    own = tuple(model.patch_resolution)
    stored = state_dict.pop(prefix + GRID, None)
    if stored is not None:
        grid = stored.flatten().tolist()
    elif grid is None and model.pretrained_img_size is not None:
        patches = np.broadcast_to(model.img_size, 2) // own
        grid = (np.array(model.pretrained_img_size) // patches).tolist()
    known = None if grid is None else tuple(grid)
    if hasattr(model, GRID):
        state_dict[prefix + GRID] = getattr(model, GRID).clone()
    extra = model.num_extra_tokens
    for name, parameter in model.named_parameters():
        key = prefix + name
        if key not in state_dict:
            continue
        value = state_dict[key]
        if name == 'pos_embed':
            count, positions = value.shape[1] - extra, _tokens
            if not extra and count == parameter.shape[1] + 1:
                continue  # mmpretrain drops the class token
        elif name.endswith(TABLE):
            count, positions = len(value) - 3, _distances
        else:
            continue
        source = _source(key, count, known, own, positions)
        if source == own:
            continue
        if name == 'pos_embed':
            mode = model.interpolate_mode
            value = resize_pos_embed(value, source, own, mode, extra)
        else:
            value = resize_bias_table(value, source, own)
        state_dict[key] = value
        message = f'resized {key} from a grid of {source} patches to {own}'
        print_log(message, logger='current')


def _tokens(rows: int, columns: int) -> int:
    return rows * columns


def _distances(rows: int, columns: int) -> int:
    return (2 * rows - 1) * (2 * columns - 1)


def _source(key: str, count: int, known, own: Grid, positions) -> Grid:
    """The grid of a table of ``count`` positions; never a guess of two."""
    if known is not None:
        if len(known) != 2 or min(known) < 1 or positions(*known) != count:
            raise ValueError(
                f'{key} has {count} positions, which does not fit a grid of '
                f'{known} patches ({GRID!r} or pretrained_img_size)'
            )
        return known
    square = next(
        ((s, s) for s in range(1, count + 1) if positions(s, s) >= count), own
    )
    is_square = positions(*square) == count
    fits = positions(*own) == count
    if is_square and (not fits or own == square):
        return square
    if fits and not is_square:
        return own
    raise ValueError(
        f'the grid of patches of {key} is not known: {count} positions. '
        'Set pretrained_img_size of the backbone to the image size that the '
        'checkpoint was trained with'
    )


def resize_bias_table(table: Tensor, source: Grid, target: Grid) -> Tensor:
    """Resize a relative-position table to another grid of patches.

    Near distances are kept as they are: the source is placed on a geometric
    progression whose step grows with the distance, then read at integer
    distances by a bicubic spline, as in BEiT.

    Args:
        table (Tensor): :math:`((2h-1)(2w-1) + 3, H)`; the last three rows,
            for the class token, are copied.
        source (tuple[int, int]): Its grid (h, w).
        target (tuple[int, int]): The new grid.

    Returns:
        Tensor: Of the new grid.

    Raises:
        ImportError: If scipy is not installed.
        ValueError: If the table does not have the rows of ``source``.

    Examples:
        >>> resize_bias_table(torch.zeros(9 + 3, 4), (2, 2), (3, 5)).shape
        torch.Size([48, 4])
    """
    with imports_for('resizing a relative position bias'):
        from scipy.interpolate import RectBivariateSpline
    shape, rows = [2 * size - 1 for size in source], _distances(*source) + 3
    if len(table) != rows:
        raise ValueError(
            f'table must have {rows} rows for a grid of {tuple(source)} '
            f'patches, got {len(table)}'
        )
    axes = [_progression(s - 1, t - 1) for s, t in zip(source, target)]
    read_at = [np.arange(1 - size, size) for size in target]
    degrees = [min(3, len(axis) - 1) for axis in axes]
    heads = []
    for column in table[:-3].double().cpu().numpy().T:
        # A spline needs two points: one is repeated.
        values = np.broadcast_to(column.reshape(shape), [*map(len, axes)])
        spline = RectBivariateSpline(*axes, values, [None] * 4, *degrees)
        heads.append(spline(*read_at).reshape(-1))
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
    distances = np.cumsum(q ** np.arange(max(steps, 1)))
    return np.concatenate((-distances[::-1], [0], distances))
