# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Feed one task of a dataset."""

from typing import Any, Iterator, Optional

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
        self._indices = self.dataset.indices_of(task).tolist()
        self._order = DefaultSampler(
            self._indices, self.shuffle, self.seed, self.round_up
        )

    def __iter__(self) -> Iterator[int]:
        self._order.set_epoch(self.epoch)
        return (self._indices[place] for place in self._order)

    def __len__(self) -> int:
        return len(self._order)
