# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Free single parameters from weight decay, whatever built the optimizer."""

from typing import Any, Iterator, List, Sequence, Union

from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn
from torch.optim import Optimizer

Schedulers = Union[Sequence[Any], dict, None]


def free_from_weight_decay(
    model: nn.Module, optim_wrapper: Any, schedulers: Schedulers
) -> List[str]:
    """Give parameters that must not decay a group of their own.

    Which ones, modules say by a method ``no_weight_decay()`` that returns
    names of their parameters. The group has the options of the old one but
    for a decay of 0, and the schedulers that are built already follow it. To
    be called before training begins and before a resume.

    Args:
        model (nn.Module): The model.
        optim_wrapper (OptimWrapper | OptimWrapperDict): Changed in place.
        schedulers (list | dict, optional): Parameter schedulers of it.

    Returns:
        list[str]: Names of the parameters that would have decayed.

    Examples:
        >>> import torch
        >>> class Token(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.token = nn.Parameter(torch.ones(2))
        ...     def no_weight_decay(self):
        ...         return ['token']
        >>> model = Token()
        >>> sgd = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.5)
        >>> free_from_weight_decay(model, OptimWrapper(sgd), None)
        ['token']
    """
    names = {
        id(module._parameters[name]): f'{path}.{name}' if path else name
        for path, module in model.named_modules()
        if hasattr(module, 'no_weight_decay')
        for name in module.no_weight_decay()
        if module._parameters.get(name) is not None
    }
    freed: List[str] = []
    for optimizer in optimizers_of(optim_wrapper):
        for index, group in enumerate(list(optimizer.param_groups)):
            chosen = [p for p in group['params'] if id(p) in names]
            if not chosen or not group.get('weight_decay'):
                continue
            freed += [names[id(p)] for p in chosen]
            if len(chosen) == len(group['params']):
                group['weight_decay'] = 0.0
                continue
            _split(optimizer, index, chosen, schedulers)
    return freed


def _split(
    optimizer: Optimizer, index: int, chosen: list, schedulers: Schedulers
) -> None:
    count = len(optimizer.param_groups)
    group = optimizer.param_groups[index]
    chosen_ids = {id(p) for p in chosen}
    group['params'] = [p for p in group['params'] if id(p) not in chosen_ids]
    new = {**group, 'params': chosen, 'weight_decay': 0.0}
    if 'initial_weight_decay' in new:
        new['initial_weight_decay'] = 0.0
    optimizer.add_param_group(new)
    for scheduler in schedulers_of(schedulers):
        inner = getattr(scheduler.optimizer, 'optimizer', scheduler.optimizer)
        if inner is not optimizer:
            continue
        decays = scheduler.param_name == 'weight_decay'
        # All that a scheduler knows of groups is in lists, one entry each.
        for value in vars(scheduler).values():
            if isinstance(value, list) and len(value) == count:
                value.append(0.0 if decays else value[index])


def optimizers_of(optim_wrapper: Any) -> Iterator[Optimizer]:
    """The optimizers of a wrapper, or of a dict of them."""
    if isinstance(optim_wrapper, OptimWrapperDict):
        for wrapper in optim_wrapper.optim_wrappers.values():
            yield wrapper.optimizer
    elif isinstance(optim_wrapper, OptimWrapper):
        yield optim_wrapper.optimizer


def schedulers_of(schedulers: Schedulers) -> Iterator[Any]:
    """The schedulers of a list, or of a dict of lists."""
    is_dict = isinstance(schedulers, dict)
    for group in schedulers.values() if is_dict else [schedulers or ()]:
        yield from group
