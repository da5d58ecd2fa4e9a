# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The parts of a run that follow the tasks of continual learning."""

from typing import List, Sequence

from mmengine.runner import Runner
from torch import nn

from mask_plugins.datasets.task_split import TaskSplit
from mask_plugins.utils.checks import check_type

from .attribute_target import unwrap


def task_modules(runner: Runner, bounds: Sequence[int]) -> List[nn.Module]:
    """Everything in the model that has ``set_classes``.

    Args:
        runner (Runner): The runner.
        bounds (Sequence[int]): Of the tasks.

    Raises:
        TypeError: If none of it is a head.
        ValueError: If a head has another number of classes than the tasks.
    """
    modules = unwrap(runner.model).modules()
    found = [m for m in modules if hasattr(type(m), 'set_classes')]
    if not any(hasattr(part, 'num_classes') for part in found):
        raise TypeError('the model has no mask_plugins.ClassIncrementalHead')
    for part in found:
        if getattr(part, 'num_classes', bounds[-1]) != bounds[-1]:
            what = f'the head has num_classes={part.num_classes}'
            raise ValueError(f'{what}, the dataset has {bounds[-1]}')
    return found


def tasks_of(runner: Runner, loader: str) -> TaskSplit:
    """The dataset of a loader, checked to have tasks.

    Args:
        runner (Runner): The runner.
        loader (str): Name of the loader.

    Raises:
        TypeError: If it has none.
    """
    dataset, what = getattr(runner, loader).dataset, 'a mask_plugins.TaskSplit'
    return check_type(f'the dataset of {loader}', dataset, TaskSplit, what)


def mark_groups(runner: Runner, name: str, factor: float) -> None:
    """Note ``later_lr_mult`` in the groups of a module's parameters.

    Args:
        runner (Runner): Groups of its optimizer are changed in place.
        name (str): Dotted path of the module.
        factor (float): What to note.

    Raises:
        ValueError: If there is no such module, or a group also holds
            parameters of other modules.
    """
    modules = dict(unwrap(runner.model).named_modules())
    if name not in modules:
        raise ValueError(f'later_lr_mult: the model has no module {name!r}')
    own = {id(p) for p in modules[name].parameters()}
    for group in runner.optim_wrapper.param_groups:
        inside = {id(p) in own for p in group['params']}
        if inside == {True, False}:
            keys = {name: dict(lr_mult=1.0)}
            raise ValueError(f'later_lr_mult needs custom_keys={keys}')
        if inside == {True}:
            group['later_lr_mult'] = factor
