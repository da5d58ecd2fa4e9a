# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Checkpoints of the stock model, with the masks baked into the weights."""

import os.path as osp
import warnings
from fnmatch import fnmatchcase
from typing import Any, Dict, List, Set

from mmengine.config import Config
from torch import Tensor, nn

from mask_plugins.apis.model import build_model, load_weights, read_trained
from mask_plugins.core.weights import (
    Adapter,
    SoftMask,
    base_state,
    disable_masks,
    load_masks,
    mask_report,
    merge_masks,
    named_masks,
    read_adapter,
)
from mask_plugins.core.weights.adapter_content import tensor_hash
from mask_plugins.utils.first_few import first_few

from .mask_export import (
    empty_notes,
    load_masked_model,
    make_tickets,
    temperatures,
)
from .stock_config import StockCheckpoint, StockConfig, stock_config
from .stock_heads import masked_heads, stock_state


def bake_checkpoint(
    cfg: Config,
    checkpoint: str,
    soft: bool = False,
    pattern: str = 'unstructured',
) -> StockCheckpoint:
    """Bake the masks of a trained checkpoint into its weights.

    Args:
        cfg (Config): Of the masked training.
        checkpoint (str): Its checkpoint.
        soft (bool): Soft masks as they are, at their temperature, not as
            their ticket. Defaults to False.
        pattern (str): Of the tickets, see :func:`make_tickets`. Defaults to
            ``'unstructured'``.

    Returns:
        StockCheckpoint: What the stock model is to load.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it does not fit, or has no (soft) masks, or masks that
            are NaN, or there is a pattern for soft ones.
    """
    if soft and pattern != 'unstructured':
        raise ValueError(f'soft=True has no pattern, got {pattern!r}')
    model = load_masked_model(cfg, checkpoint)
    notes = _make_soft(model) if soft else make_tickets(model, pattern)
    return _bake(model, stock_config(cfg), model._dataset_meta, notes)


def bake_adapter(
    cfg: Config, base: str, path: str, only: str = '*', strict: bool = True
) -> StockCheckpoint:
    """Bake an adapter into the weights of a base checkpoint.

    Args:
        cfg (Config): Of the masked training, or of the stock model.
        base (str): Weights that the adapter belongs to: of the whole model or
            of its backbone. A head of other classes, and masks of a training,
            are left aside.
        path (str): The adapter.
        only (str): Shell pattern of the names that are taken from it.
            Defaults to ``'*'``.
        strict (bool): Whether other base weights than the adapter's own are
            an error. Defaults to True.

    Returns:
        StockCheckpoint: What the stock model is to load.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the files and the config do not fit each other.
    """
    adapter = read_adapter(path)
    model = build_model(cfg)
    provided = {key for key in adapter.state if fnmatchcase(key, only)}
    notes = _load_base(model, base, provided, adapter)
    if next(named_masks(model), None) is not None:
        with disable_masks(model):  # merging nothing takes them out
            merge_masks(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        load_masks(model, adapter, only=only, strict=strict)
    notes += [str(warning.message) for warning in caught]
    notes += empty_notes(mask_report(model))
    classes = adapter.info.get('classes')
    meta = dict(classes=classes) if classes else {}
    return _bake(model, stock_config(cfg), meta, notes)


def _bake(
    model: nn.Module,
    stock: StockConfig,
    dataset_meta: Dict[str, Any],
    notes: List[str],
) -> StockCheckpoint:
    report = mask_report(model)
    if report.not_finite:
        raise ValueError(
            f'logits or scores of {", ".join(report.not_finite)} are NaN or '
            'infinite: the training has diverged'
        )
    state = stock_state(merge_masks(model))
    # What is written is what the stock model loads.
    load_weights(build_model(stock.cfg), state, 'the merged model')
    content = dict(notes=notes, **report.to_dict())
    return StockCheckpoint(state, dataset_meta, stock, content, report)


def _make_soft(model: nn.Module) -> List[str]:
    """Have soft masks as they are in training, tickets too."""
    masks = [item.mask for item in named_masks(model)]
    masks = [mask for mask in masks if isinstance(mask, SoftMask)]
    if not masks:
        raise ValueError('soft=True: the model has no soft masks')
    for mask in masks:
        mask.ticket = False
    how = f'as they are, at temperature {temperatures(masks)}'
    return [f'soft masks are baked in {how}']


def _load_base(
    model: nn.Module, path: str, provided: Set[str], adapter: Adapter
) -> List[str]:
    """Load base weights; what an adapter provides may be missing in them.

    Frozen weights that a head draws from its seed are in no pretrained file:
    they are left as they were built, where the adapter belongs to those.

    Returns:
        list[str]: Notes.
    """
    weights = read_trained(path)
    weights = {k: v for k, v in weights.items() if not _of_mask(k, weights)}
    state = base_state(model)
    needed = set(state) - provided
    # A file of the backbone alone has its names without the prefix.
    options = [
        {prefix + key: value for key, value in weights.items()}
        for prefix in ('', 'backbone.')
    ]
    found = max(options, key=lambda option: len(needed & set(option)))
    unused = [k for k, f in zip(weights, found) if f not in state]
    heads = tuple(prefix for prefix, _ in masked_heads(model))
    problems = []
    for key, value in state.items():
        given = found.get(key)
        if key.startswith(heads) and (
            given is None or tensor_hash(given) != adapter.bases.get(key)
        ):
            needed.discard(key)
        elif key in needed and given is None:
            problems.append(f'it has no {key}')
        elif key in needed and given.shape != value.shape:
            problems.append(
                f'{key} has the shape {tuple(given.shape)} in it and '
                f'{tuple(value.shape)} in the model'
            )
    if problems:
        raise ValueError(
            f'the base weights {path!r} do not fit the model of the config: '
            f'{first_few(problems, "; ")}'
        )
    model.load_state_dict({key: found[key] for key in needed}, strict=False)
    if not unused:
        return []
    return [
        f'{len(unused)} tensors of {osp.basename(path)} have no place in the '
        f'model: {first_few(unused)}'
    ]


def _of_mask(key: str, weights: Dict[str, Tensor]) -> bool:
    """Whether ``layer.weight_mask.logits`` stands next to ``layer.weight``."""
    owner, _, rest = key.rpartition('_mask.')
    return bool(owner) and '.' not in rest and owner in weights
