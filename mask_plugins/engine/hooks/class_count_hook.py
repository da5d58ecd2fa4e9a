# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Compare the classes of data, model and checkpoint."""

from typing import Any, Dict, Sequence

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mask_plugins.datasets.class_numbers import check_same_numbers
from mask_plugins.datasets.subset import labels_of
from mask_plugins.functional.labels import check_labels, ignored_labels
from mask_plugins.registry import HOOKS

from .attribute_target import unwrap

HOLDERS = ('head', 'data_preprocessor')
# Metrics that compare the numbers that a head gives with labels.
BY_NUMBER = ('accuracy', 'single-label', 'multi-label', 'confusion_matrix')


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Compare ``num_classes`` with the training set, before training.

    Labels beyond ``num_classes`` are an IndexError of torch at the first
    batch that has one (on a GPU an assertion of the device), and unused
    classes go unnoticed. This hook compares ``num_classes`` of every head and
    of the data preprocessor with the classes of the training set: too few are
    an error, too many are a warning. Labels of each batch are compared before
    they leave the CPU, so that no step waits for a GPU.

    So are the names. A class that has one number in the training set and
    another in the validation set, such as of folders that were numbered for
    each set alone, is an error; so is one with another number in the
    checkpoint that a run resumes, or that is tested by a metric of labels.
    Classes that the checkpoint does not know are a warning of that test.

    Datasets without names of classes, and models without ``num_classes``, are
    not compared. Names count only as far as labels use them: a subset whose
    labels were renumbered fits a smaller head.

    Raises:
        TypeError, ValueError: If a label of the training set is beyond
            ``num_classes`` or no int64, or a class has another number
            elsewhere.

    Examples:
        >>> from torch import nn
        >>> head = nn.Linear(2, 3)
        >>> head.num_classes = 3
        >>> class_counts(nn.ModuleDict(dict(head=head)))
        {'head': 3}
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.loaded: Sequence[str] = ()  # classes of the checkpoint
        self._heads: Dict[str, nn.Module] = {}  # what takes labels

    def after_load_checkpoint(
        self, runner: Runner, checkpoint: Dict[str, Any]
    ) -> None:
        """Note the classes of the checkpoint."""
        meta = checkpoint.get('meta')
        found = meta.get('dataset_meta') if isinstance(meta, dict) else None
        self.loaded = found.get('classes') if isinstance(found, dict) else ()

    def before_train(self, runner: Runner) -> None:
        """Compare."""
        loaded, self.loaded = self.loaded, ()
        self._heads = counted(unwrap(runner.model))
        dataset = runner.train_dataloader.dataset
        names = classes_of(dataset)
        if not names:
            return
        loader = getattr(runner.val_loop, 'dataloader', None)
        others = classes_of(getattr(loader, 'dataset', None))
        train = 'train_dataloader'
        check_same_numbers(names, others, train, 'val_dataloader')
        if runner._resume:  # weights for another task have other classes
            check_same_numbers(names, loaded or (), train, 'the checkpoint')
        counts = class_counts(unwrap(runner.model))
        listed = ', '.join(map(str, names[:5])) + ', ...' * (len(names) > 5)
        said = f'train_dataloader has {len(names)} classes ({listed}), but the'
        for name, count in counts.items():
            found = f'{said} model has {name}.num_classes={count}'
            if count > len(names):
                runner.logger.warning(f'{found}: some are never trained')
            elif count < len(names):
                if count <= highest_label(dataset, len(names) - 1):
                    raise ValueError(f'{found}: set it to {len(names)}')

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Compare the labels of the batch."""
        samples = data_batch if isinstance(data_batch, dict) else {}
        samples = samples.get('data_samples') or ()
        labels = [x.gt_label for x in samples if 'gt_label' in x]
        if not labels or not self._heads:
            return
        labels = torch.cat(labels)
        heads = self._heads.values()
        least = min(head.num_classes for head in heads)
        name = f'gt_label of train_dataloader (for {", ".join(self._heads)})'
        ignored = {label for head in heads for label in ignored_labels(head)}
        check_labels(name, labels, len(labels), least, ignored=ignored)

    def before_val(self, runner: Runner) -> None:
        """Compare, unless it is a validation while training."""
        self._compare(runner, runner.val_loop, 'val_dataloader')

    def before_test(self, runner: Runner) -> None:
        """Compare."""
        self._compare(runner, runner.test_loop, 'test_dataloader')

    def _compare(self, runner: Runner, loop: Any, where: str) -> None:
        names = classes_of(loop.dataloader.dataset)
        if not (self.loaded and names and judges_numbers(loop.evaluator)):
            return
        new = check_same_numbers(self.loaded, names, 'the checkpoint', where)
        if new:
            listed = ', '.join(new[:5]) + ', ...' * (len(new) > 5)
            runner.logger.warning(
                f'{where} has {len(new)} classes that the checkpoint was not '
                f'trained on: {listed}'
            )


def classes_of(dataset: Any) -> Sequence[str]:
    """The names of the classes of a data set, empty if it does not tell."""
    return getattr(dataset, 'metainfo', {}).get('classes') or ()


def judges_numbers(evaluator: Any) -> bool:
    """Whether a metric compares predicted numbers of classes with labels."""
    metrics = getattr(evaluator, 'metrics', ())
    return any(metric.default_prefix in BY_NUMBER for metric in metrics)


def class_counts(model: nn.Module) -> Dict[str, int]:
    """``num_classes`` of heads and data preprocessor, by dotted path."""
    return {k: v.num_classes for k, v in counted(model).items()}


def counted(model: nn.Module) -> Dict[str, nn.Module]:
    """Heads and data preprocessor with ``num_classes``, by dotted path."""
    return {
        name: module
        for name, module in model.named_modules()
        if name.rpartition('.')[2] in HOLDERS
        and 'teacher' not in name.split('.')
        and isinstance(getattr(module, 'num_classes', None), int)
    }


def highest_label(dataset: Any, unknown: int) -> int:
    """The highest label of a data set, ``unknown`` if it does not tell."""
    try:
        labels = labels_of(dataset)
    except (AttributeError, TypeError, ValueError):  # several per sample
        return unknown
    return int(labels.max()) if len(labels) else unknown
