# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A staircase of rates for every task of continual learning."""

import bisect
import itertools
from typing import List, Sequence, Union

from mmengine.optim import BaseOptimWrapper
from torch.optim import Optimizer

from mask_plugins.registry import PARAM_SCHEDULERS

from .stagewise_multi_step_lr import INF, StagewiseMultiStepLR

Milestones = Sequence[Union[int, float]]


@PARAM_SCHEDULERS.register_module()
class TaskwiseMultiStepLR(StagewiseMultiStepLR):
    """Begin at the full rate with every task, and decay at its milestones.

    As :class:`mask_plugins.StagewiseMultiStepLR`, with the tasks of
    :class:`mask_plugins.ContinualTrainLoop` as stages, whose lengths
    :class:`mask_plugins.ContinualHook` tells it, milestones of their own for
    each task, and a factor for groups that the hook has marked
    (``later_lr_mult``). The optimizer is never rebuilt.

    Args:
        optimizer (Optimizer or BaseOptimWrapper): The optimizer.
        milestones (Sequence): Epochs within a task, or as floats in (0, 1)
            shares of it, at which the rate decays; or a list of such lists,
            one per task, the last as often as needed. Defaults to
            (0.7, 0.95).
        **kwargs: As in ``StagewiseMultiStepLR``, except ``stage_epochs``.

    Raises:
        ValueError: If ``milestones`` mixes numbers and lists; and as
            ``StagewiseMultiStepLR``.

    Examples:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> optimizer = torch.optim.SGD([weight], lr=1.0)
        >>> scheduler = TaskwiseMultiStepLR(optimizer, milestones=[0.5])
        >>> scheduler.set_task_epochs([2, 4])
        >>> scheduler.stage_epochs
        (2, 4)
    """

    def __init__(
        self,
        optimizer: Union[Optimizer, BaseOptimWrapper],
        milestones: Union[Milestones, Sequence[Milestones]] = (0.7, 0.95),
        **kwargs,
    ) -> None:
        nested = [isinstance(m, (list, tuple)) for m in milestones]
        if any(nested) and not all(nested):
            what = 'numbers, or one list of numbers per task'
            raise ValueError(f'milestones must be {what}, got {milestones!r}')
        per_task = milestones if any(nested) else [milestones]
        self.task_milestones = [list(m) for m in per_task]
        milestones = [m for part in per_task for m in part]
        # One task, until set_task_epochs.
        super().__init__(optimizer, INF, milestones, **kwargs)

    def set_task_epochs(self, epochs: Sequence[int]) -> None:
        """Say how long the tasks are.

        Args:
            epochs (Sequence[int]): One number per task.

        Raises:
            ValueError: If a milestone lies beyond the end of its task.
        """
        self.stage_epochs = tuple(epochs)
        for task, length in enumerate(epochs):
            late = [m for m in self._of_task(task) if m >= length]
            if late:
                place = f'beyond the {length} epochs of task {task + 1}'
                raise ValueError(f'milestones {late} lie {place}')

    def _get_value(self) -> List[float]:
        """The rate of every parameter group at ``last_step``."""
        ends = list(itertools.accumulate(self.stage_epochs))
        task = min(bisect.bisect(ends, self.last_step), len(ends) - 1)
        place = self._within_stage(self.last_step)
        factor = self._decay(self._of_task(task), *place)
        return [
            lr * factor * (group.get('later_lr_mult', 1.0) if task else 1.0)
            for lr, group in zip(self.base_values, self.optimizer.param_groups)
        ]

    def _of_task(self, task: int) -> Milestones:
        return self.task_milestones[min(task, len(self.task_milestones) - 1)]
