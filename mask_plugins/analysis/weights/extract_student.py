# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The deployed part of a run with a teacher."""

from typing import Dict

from mmengine.config import Config
from torch import Tensor

from mask_plugins.apis.model import (
    averages_unused,
    build_model,
    dataset_meta,
    load_weights,
    take_trained,
)
from mask_plugins.utils.checks import check_choice
from mask_plugins.utils.safe_load import read_checkpoint

from .stock_config import StockCheckpoint, own_type, stock_config

WHICH = ('student', 'teacher')
WITH_TEACHER = (
    'ReferenceClassifier',
    'DistilledModel',
    'build_distilled_model',
)
# Where a teacher that is one network keeps it.
NETWORKS = ('teacher.network.',)


def extract_student(
    cfg: Config, checkpoint: str, which: str = 'student'
) -> StockCheckpoint:
    """Take teacher and tokens out of a checkpoint.

    Nothing of the teacher is built: an ensemble's files are not needed.

    Args:
        cfg (Config): Of the run, with ``mask_plugins.ReferenceClassifier`` or
            ``mask_plugins.DistilledModel``.
        checkpoint (str): Its checkpoint. Of a run with an ``EMAHook`` those
            weights are taken that it evaluated.
        which (str): ``'student'``, or ``'teacher'``: the snapshot or the
            average; what the teacher has not (with ``scope='head'``, the
            backbone) is the student's. Defaults to ``'student'``.

    Returns:
        StockCheckpoint: What the stock model is to load; the report has
        ``elements`` that are kept, and ``dropped``, those of the ``teacher``
        and of ``tokens``.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the model has no teacher, or the weights do not fit.
    """
    check_choice('which', which, WHICH)
    model = cfg.get('model')
    if own_type(model) not in WITH_TEACHER:
        kind = model and model.get('type')
        raise ValueError(f'the model is {kind}, which has no teacher')
    loaded = read_checkpoint(checkpoint)
    weights = take_trained(loaded, averages_unused(cfg), checkpoint)
    stock = stock_config(cfg)
    model = build_model(stock.cfg)
    source = dict(weights)
    # An EMAHook's average of trained weights has no teacher in it.
    everything = take_trained(loaded, False, checkpoint)
    if which == 'teacher':
        source.update(_teacher(everything, checkpoint))
    state = {key: source[key] for key in model.state_dict() if key in source}
    load_weights(model, state, checkpoint)
    left = {k: v for k, v in everything.items() if k not in state}
    dropped = dict(teacher=0, tokens=0)
    for key, value in left.items():
        teaches = key.startswith(('teacher.', 'distillation.'))
        dropped['teacher' if teaches else 'tokens'] += value.numel()
    elements = sum(value.numel() for value in state.values())
    report = dict(elements=elements, dropped=dropped)
    return StockCheckpoint(state, dataset_meta(loaded), stock, report)


def _teacher(weights: Dict[str, Tensor], path: str) -> Dict[str, Tensor]:
    if not bool(weights.get('teacher.begun', False)):
        raise ValueError(f'the teacher in {path} has not begun, or is none')
    for prefix in NETWORKS:
        found = {
            key[len(prefix) :]: value
            for key, value in weights.items()
            if key.startswith(prefix)
        }
        if found:
            return found
    raise ValueError(
        f'the teacher in {path} is an ensemble, not one network: deploy its '
        'checkpoints'
    )
