# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The deployed part of a run with a teacher."""

from typing import Any, Dict, List, NamedTuple

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

from .stock_config import StockConfig, stock_config

WHICH = ('student', 'teacher')
# Where a teacher that is one network keeps it.
NETWORKS = ('teacher.network.',)


class Student(NamedTuple):
    """A stock checkpoint, not yet written.

    Args:
        state_dict (dict[str, Tensor]): Of the stock classifier.
        dataset_meta (dict): Names of the classes, where they are known.
        stock (StockConfig): The config that it fits.
        dropped (dict[str, int]): Elements of what is left out: of the
            ``teacher`` and of ``tokens``.
    """

    state_dict: Dict[str, Tensor]
    dataset_meta: Dict[str, Any]
    stock: StockConfig
    dropped: Dict[str, int]

    @property
    def elements(self) -> int:
        """How many numbers are kept."""
        return sum(value.numel() for value in self.state_dict.values())


def extract_student(
    cfg: Config, checkpoint: str, which: str = 'student'
) -> Student:
    """Take teacher and tokens out of a checkpoint.

    Nothing of the teacher is built: an ensemble's files are not needed.

    Args:
        cfg (Config): Of the run, with ``mask_plugins.ReferenceClassifier``.
        checkpoint (str): Its checkpoint. Of a run with an ``EMAHook`` those
            weights are taken that it evaluated.
        which (str): ``'student'``, or ``'teacher'``: the snapshot or the
            average; what the teacher has not (with ``scope='head'``, the
            backbone) is the student's. Defaults to ``'student'``.

    Returns:
        Student: What the stock classifier is to load.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the model has no teacher, or the weights do not fit.
    """
    check_choice('which', which, WHICH)
    kind = (cfg.get('model') or {}).get('type')
    kind = getattr(kind, '__name__', str(kind))
    if kind.rpartition('.')[2] != 'ReferenceClassifier':
        raise ValueError(
            f'the model of the config is {kind}, which has no teacher: its '
            'checkpoint is deployed as it is'
        )
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
    teacher = sum(
        v.numel() for k, v in left.items() if k.startswith('teacher.')
    )
    tokens = sum(v.numel() for v in left.values()) - teacher
    return Student(
        state,
        dataset_meta(loaded),
        stock,
        dict(teacher=teacher, tokens=tokens),
    )


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


def write_student(
    student: Student, path: str, source: Dict[str, Any]
) -> List[str]:
    """Write the checkpoint, its config and a report, next to each other.

    Args:
        student (Student): What to write.
        path (str): The checkpoint, ``.pth`` or ``.safetensors``.
        source (dict): Plain values for the report: where it comes from.

    Returns:
        list[str]: What was written.
    """
    report = dict(elements=student.elements, dropped=student.dropped)
    return student.stock.write(
        path, student.state_dict, student.dataset_meta, source, report
    )
