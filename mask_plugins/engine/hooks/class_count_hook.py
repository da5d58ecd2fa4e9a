# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Compare the number of classes of the data with that of the model."""

from typing import Any, Dict, List, Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mask_plugins.datasets.subset import labels_of
from mask_plugins.registry import HOOKS

from .attribute_target import unwrap

HOLDERS = ('head', 'data_preprocessor')


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Compare ``num_classes`` with the training set, before training.

    Labels beyond ``num_classes`` are an IndexError of torch at the first
    batch that has one (on a GPU an assertion of the device), and unused
    classes go unnoticed. This hook compares ``num_classes`` of every head and
    of the data preprocessor with the classes of the training set: too few are
    an error, too many are a warning.

    So are the names: a class that has one number in the training set and
    another in the validation set, such as of folders that were numbered for
    each set alone, is an error.

    Datasets without names of classes, and models without ``num_classes``, are
    not compared. Names count only as far as labels use them: a subset whose
    labels were renumbered fits a smaller head.

    Raises:
        ValueError: If a label of the training set is beyond ``num_classes``,
            or a class has another number in the validation set.

    Examples:
        >>> from torch import nn
        >>> head = nn.Linear(2, 3)
        >>> head.num_classes = 3
        >>> class_counts(nn.ModuleDict(dict(head=head)))
        {'head': 3}
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Compare."""
        dataset = runner.train_dataloader.dataset
        names = getattr(dataset, 'metainfo', {}).get('classes')
        if not names:
            return
        loader = getattr(runner.val_loop, 'dataloader', None)
        check_same_numbers(names, getattr(loader, 'dataset', None))
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


def check_same_numbers(names: Sequence[str], other: Any) -> None:
    """Raise if a class of the training set has another number elsewhere.

    Args:
        names (Sequence[str]): The classes of the training set.
        other (Any): The validation set, or None.

    Examples:
        >>> from types import SimpleNamespace
        >>> val = SimpleNamespace(metainfo=dict(classes=('bee', 'cow')))
        >>> check_same_numbers(('bee', 'cow', 'dog'), val)
        >>> check_same_numbers(('ant', 'bee', 'cow'), val)
        Traceback (most recent call last):
        ...
        ValueError: class 'bee' has the number 1 in train_dataloader and 0 \
in val_dataloader: give both data sets the same classes (ImageFolder: \
class_prefix, VideoClips: class_root)
    """
    numbers: Dict[str, List[int]] = {}  # ImageNet has a name twice
    for number, name in enumerate(names):
        numbers.setdefault(name, []).append(number)
    classes = getattr(other, 'metainfo', {}).get('classes') or ()
    for number, name in enumerate(classes):
        if number not in numbers.get(name, [number]):
            raise ValueError(
                f'class {name!r} has the number {numbers[name][0]} in '
                f'train_dataloader and {number} in val_dataloader: give both '
                'data sets the same classes (ImageFolder: class_prefix, '
                'VideoClips: class_root)'
            )


def class_counts(model: nn.Module) -> Dict[str, int]:
    """``num_classes`` of heads and data preprocessor, by dotted path."""
    return {
        name: module.num_classes
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
