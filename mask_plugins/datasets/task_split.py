# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A dataset whose classes are learned one group after the other."""

from typing import Any, Sequence, Union

import numpy as np

from mask_plugins.functional.continual import class_order, task_bounds
from mask_plugins.registry import DATASETS
from mask_plugins.utils.checks import check_int

from .class_subset import ClassSubset
from .subset import labels_of


@DATASETS.register_module()
class TaskSplit(ClassSubset):
    """Number classes in the order in which they are learned, in tasks.

    Label k is the k-th class of the order, so that the classes of a task are
    neighbors, whatever the order is: a head that has seen n classes uses its
    first n rows. The dataset feeds all samples; ``task`` narrows it down to
    one task, and :class:`mask_plugins.TaskSampler` to that of the epoch. Give
    training and validation the same ``tasks``, ``seed`` and ``order``.

    Args:
        dataset (dict | BaseDataset): The dataset, or another wrapper.
        tasks (int | Sequence[int]): Number of tasks, or the number of classes
            of each. Defaults to 5.
        seed (int): Seed of the class order; -1 keeps that of the dataset.
            Defaults to -1.
        order (Sequence[int | str]): Labels or names of all classes, in place
            of a seed. Defaults to (), by the seed.
        task (int): Feed this task only, from 0; -1 feeds all. Defaults to -1.
        lazy_init (bool): Whether to read annotations later. Defaults to
            False.

    Attributes:
        bounds (tuple[int]): See :func:`mask_plugins.functional.continual.
            task_bounds`.

    Raises:
        ValueError: If there are more tasks than classes, a task or class has
            no samples, a class is unknown or missing in ``order``, or
            ``seed`` and ``order`` are both given.

    Examples:
        >>> digits = dict(type='mask_plugins.Digits')
        >>> split = TaskSplit(digits, tasks=5, task=1)
        >>> split.bounds, split.num_tasks
        ((0, 2, 4, 6, 8, 10), 5)
    """

    def __init__(
        self,
        dataset: Any,
        tasks: Union[int, Sequence[int]] = 5,
        seed: int = -1,
        order: Sequence[Union[int, str]] = (),
        task: int = -1,
        lazy_init: bool = False,
    ) -> None:
        if order and seed >= 0:
            raise ValueError(
                f'seed={seed} and order={list(order)} contradict each other: '
                'give one of them'
            )
        self.tasks = tasks
        self.seed = check_int('seed', seed, -1)
        self.order = list(order)
        self.task = check_int('task', task, -1)
        # Those of the dataset are not known before it is read.
        super().__init__(dataset, self.order or [0], lazy_init)

    def choose(self) -> np.ndarray:
        """See :class:`Subset`; also puts the classes in order."""
        names = self._metainfo.get('classes')
        labels = labels_of(self.dataset)
        count = len(names) if names else int(labels.max(initial=-1)) + 1
        bounds = task_bounds(count, self.tasks)
        self.classes = self.order or class_order(count, self.seed)
        old = [self._label(item, names) for item in self.classes]
        if sorted(old) != list(range(count)):
            raise ValueError(
                f'order must have each of the {count} classes once, got '
                f'{self.order}'
            )
        check_int('task', self.task, -1, len(bounds) - 2)
        self.bounds = bounds
        indices = super().choose()
        tasks = np.searchsorted(bounds, self._labels, side='right') - 1
        chosen = (tasks == self.task) | (self.task < 0)
        self._task_of, self._labels = tasks[chosen], self._labels[chosen]
        return indices[chosen]

    @property
    def num_tasks(self) -> int:
        """Number of tasks."""
        self.full_init()
        return len(self.bounds) - 1

    def indices_of(self, task: int) -> np.ndarray:
        """Which samples of this dataset are of a task.

        Args:
            task (int): From 0.

        Returns:
            np.ndarray: Indices, in the order of the dataset.

        Raises:
            ValueError: If there is no such task.
        """
        check_int('task', task, 0, self.num_tasks - 1)
        return np.flatnonzero(self._task_of == task)
