# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""From a checkpoint of a masked training to an adapter."""

import os.path as osp
from typing import List, Optional, Tuple

from mmengine.config import Config
from torch import nn

from mask_plugins.apis.model import load_trained_model
from mask_plugins.core.weights import (
    Adapter,
    MaskReport,
    SoftMask,
    base_state,
    make_ticket,
    mask_report,
    named_masks,
    pack_masks,
)
from mask_plugins.version import __version__


def export_checkpoint(
    cfg: Config,
    checkpoint: str,
    pattern: str = 'unstructured',
    state_dtype: Optional[str] = None,
) -> Tuple[Adapter, MaskReport, List[str]]:
    """Make the adapter of a trained checkpoint; soft masks as their ticket.

    Args:
        cfg (Config): Of the masked training.
        checkpoint (str): Its checkpoint.
        pattern (str): See :func:`make_tickets`. Defaults to
            ``'unstructured'``.
        state_dtype (str, optional): See :func:`pack_masks`.
            Defaults to None.

    Returns:
        tuple: The adapter; what its masks keep; notes for the user. ``info``
        of the adapter has ``checkpoint``, ``parameters`` (of the whole
        model), ``model_bytes`` (of all its weights and buffers) and where
        known ``classes``.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it does not fit, or the model has no masks.
    """
    model = load_masked_model(cfg, checkpoint)
    notes = make_tickets(model, pattern)
    # Backbones freeze their first stages when they are told to train.
    model.train()
    model.eval()
    report = mask_report(model)
    info = dict(
        writer=f'mask_plugins {__version__}',
        checkpoint=osp.basename(checkpoint),
        parameters=report.parameters,
        model_bytes=model_bytes(model),
        **model._dataset_meta,
    )
    adapter = pack_masks(model, info=info, state_dtype=state_dtype)
    return adapter, report, notes


def load_masked_model(cfg: Config, checkpoint: str) -> nn.Module:
    """As :func:`load_trained_model`, of a model that has masks.

    Args:
        cfg (Config): Of the masked training.
        checkpoint (str): Its checkpoint.

    Returns:
        nn.Module: In eval mode, on the CPU.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it does not fit, or the model has no masks.
    """
    model = load_trained_model(cfg, checkpoint)
    if next(named_masks(model), None) is None:
        raise ValueError(
            'the model of the config has no masks: give the config of the '
            'masked training, which has mask_plugins.MaskedModel or '
            "conv_cfg=dict(type='mask_plugins.SoftMaskConv2d')"
        )
    return model


def make_tickets(model: nn.Module, pattern: str = 'unstructured') -> List[str]:
    """Turn soft masks hard, in place, and say so where it makes a difference.

    Args:
        model (nn.Module): With masks.
        pattern (str): ``'2:4'`` projects tickets to it, which leaves one that
            was trained under it as it is; see
            :func:`mask_plugins.core.weights.make_ticket`. Defaults to
            ``'unstructured'``.

    Returns:
        list[str]: Notes for the user.

    Raises:
        ValueError: If the pattern is unknown, or there is no soft mask that
            could follow it.
    """
    masks = [item.mask for item in named_masks(model)]
    soft = [m for m in masks if isinstance(m, SoftMask) and not m.ticket]
    before = mask_report(model)
    hard = [mask.hard() for mask in masks]
    notes = []
    if pattern != 'unstructured':
        make_ticket(model, pattern=pattern)
        now = [mask.hard() for mask in masks]
        moved = sum(int((a != b).sum()) for a, b in zip(hard, now))
        notes.append(f'{pattern} turns {moved:,} weights on or off')
    for mask in soft:
        mask.ticket = True
    if soft:
        notes.append(
            f'{len(soft)} soft masks (temperature {temperatures(soft)}) are '
            f'taken as their ticket: {100 * mask_report(model).density:.4g} % '
            'of the weights are kept, where the mean of the masks is '
            f'{100 * before.soft_density:.4g} %. Results differ from those '
            'with soft masks'
        )
    return notes + empty_notes(mask_report(model))


def temperatures(masks: List[SoftMask]) -> str:
    """Their temperatures, each once."""
    return ', '.join(f'{t:g}' for t in sorted({m.temperature for m in masks}))


def empty_notes(report: MaskReport) -> List[str]:
    """A note that names the masks that keep nothing, if there are any."""
    if not report.empty:
        return []
    return [f'nothing of {", ".join(report.empty)} is kept']


def model_bytes(model: nn.Module) -> int:
    """Bytes of the state dict of a model, masks left out, tied tensors once.

    Args:
        model (nn.Module): Any module.
    """
    tensors = {id(value): value for value in base_state(model).values()}
    return sum(t.numel() * t.element_size() for t in tensors.values())
