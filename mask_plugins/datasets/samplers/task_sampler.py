# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Feed one task of a dataset."""

import math
from typing import Any, Iterator, Optional

import torch
from mmengine.dataset import DefaultSampler

from mask_plugins.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class TaskSampler(DefaultSampler):
    """mmengine's DefaultSampler over the samples of one task.

    :class:`mask_plugins.ContinualTrainLoop` says which. The loader, its
    dataset and its workers stay the same throughout a run over all tasks,
    persistent workers too, since they only ever see indices.

    Args:
        dataset (TaskSplit): The dataset itself, not a wrapper around it.
        shuffle (bool): Defaults to True.
        seed (int, optional): As in ``DefaultSampler``. Defaults to None.
        round_up (bool): The same. Defaults to True.

    Raises:
        TypeError: If the dataset has no tasks.

    Examples:
        >>> sampler = dict(type='mask_plugins.TaskSampler', shuffle=True)
        >>> DATA_SAMPLERS.get(sampler['type']).__name__
        'TaskSampler'
    """

    def __init__(
        self,
        dataset: Any,
        shuffle: bool = True,
        seed: Optional[int] = None,
        round_up: bool = True,
    ) -> None:
        if not hasattr(dataset, 'indices_of'):
            raise TypeError(
                'dataset must be a mask_plugins.TaskSplit, the outermost '
                f'wrapper of the loader, got {type(dataset).__name__}'
            )
        super().__init__(dataset, shuffle, seed, round_up)
        self.set_task(0)

    def set_task(self, task: int) -> None:
        """Feed the samples of this task from the next pass on.

        Args:
            task (int): From 0.

        Raises:
            ValueError: If there is no such task.
        """
        self.task = task
        self._indices = self.dataset.indices_of(task)
        left = len(self._indices) - (0 if self.round_up else self.rank)
        self.num_samples = math.ceil(left / self.world_size)
        self.total_size = len(self._indices)
        if self.round_up:
            self.total_size = self.num_samples * self.world_size

    def __iter__(self) -> Iterator[int]:
        order = torch.arange(len(self._indices))
        if self.shuffle:
            generator = torch.Generator()
            generator.manual_seed(self.seed + self.epoch)
            order = torch.randperm(len(order), generator=generator)
        indices = self._indices[order.numpy()].tolist()
        if self.round_up:
            times = self.total_size // len(indices) + 1
            indices = (indices * times)[: self.total_size]
        return iter(indices[self.rank : self.total_size : self.world_size])
