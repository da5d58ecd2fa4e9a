# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The parts of a run that follow the tasks of continual learning."""

from typing import Any, List, Sequence

from torch import nn

from mask_plugins.datasets.task_split import TaskSplit
from mask_plugins.utils.checks import check_type

from .attribute_target import unwrap


def task_modules(model: nn.Module) -> List[nn.Module]:
    """Everything in a model that has ``set_classes``.

    Args:
        model (nn.Module): Wrapped or not.

    Raises:
        TypeError: If none of it is a head.
    """
    modules = unwrap(model).modules()
    found = [m for m in modules if hasattr(type(m), 'set_classes')]
    if not any(hasattr(part, 'num_classes') for part in found):
        raise TypeError(
            'the model has no mask_plugins.ClassIncrementalHead: all classes '
            'would be predicted before they are learned'
        )
    return found


def tasks_of(dataset: Any, name: str) -> TaskSplit:
    """Check that a dataset has tasks.

    Args:
        dataset (Any): The outermost one.
        name (str): Name of its loader, for the error.

    Raises:
        TypeError: If it has none.
    """
    what = 'a mask_plugins.TaskSplit'
    return check_type(f'the dataset of {name}', dataset, TaskSplit, what)


def check_classes(parts: List[nn.Module], bounds: Sequence[int]) -> None:
    """Check that the heads have as many classes as the tasks.

    Args:
        parts (list[nn.Module]): Of :func:`task_modules`.
        bounds (Sequence[int]): Of the tasks.

    Raises:
        ValueError: If not.
    """
    for part in parts:
        if getattr(part, 'num_classes', bounds[-1]) != bounds[-1]:
            raise ValueError(
                f'the dataset has {bounds[-1]} classes, the head has '
                f'num_classes={part.num_classes}'
            )


def mark_groups(
    groups: List[dict], model: nn.Module, name: str, factor: float
) -> None:
    """Note ``later_lr_mult`` in the groups of a module's parameters.

    Args:
        groups (list[dict]): Of the optimizer; changed in place.
        model (nn.Module): The model without wrappers.
        name (str): Dotted path of the module.
        factor (float): What to note.

    Raises:
        ValueError: If there is no such module, or a group also holds
            parameters of other modules.
    """
    modules = dict(model.named_modules())
    if name not in modules:
        raise ValueError(
            f'later_lr_mult: the model has no module {name!r}; it has '
            f'{[key for key, _ in model.named_children()]}'
        )
    own = {id(p) for p in modules[name].parameters()}
    for group in groups:
        inside = {id(p) in own for p in group['params']}
        if inside == {True, False}:
            raise ValueError(
                f'later_lr_mult: {name!r} shares a parameter group with '
                'others; give it its own: optim_wrapper=dict(paramwise_cfg='
                f'dict(custom_keys={{{name!r}: dict(lr_mult=1.0)}}))'
            )
        if inside == {True}:
            group['later_lr_mult'] = factor
