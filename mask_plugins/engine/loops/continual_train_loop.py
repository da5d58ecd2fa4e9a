# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""An epoch loop that trains one task after the other."""

import bisect
import itertools
import operator
from typing import List, Sequence, Union

from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mask_plugins.datasets.samplers import TaskSampler
from mask_plugins.datasets.traverse import samplers_of
from mask_plugins.registry import LOOPS
from mask_plugins.utils.checks import check_int, check_number

from .resumable_train_loop import ResumableEpochBasedTrainLoop


@LOOPS.register_module()
class ContinualTrainLoop(ResumableEpochBasedTrainLoop):
    """All tasks of a :class:`mask_plugins.TaskSplit` in one run.

    Epochs count through all tasks, and which task an epoch belongs to is a
    function of its number: nothing has to be saved to resume inside any task.
    Every task is validated when it ends. Optimizer and schedulers live for
    the whole run (:class:`mask_plugins.TaskwiseMultiStepLR` starts again with
    every task).

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): With ``sampler=dict(type=
            'mask_plugins.TaskSampler')``.
        epochs (int | Sequence[int]): Epochs of the first task, or of each.
            Defaults to 10.
        later_epochs (float): Epochs of a later task, in multiples of those of
            the first, rounded down. Defaults to 1.0.
        val_interval (int): Epochs within a task between two validations; the
            end of a task is always validated. Defaults to 1000: only there.

    Attributes:
        ends (list[int]): Epochs done at the end of each task.

    Raises:
        TypeError: If the loader has no TaskSampler.
        ValueError: If a task would have no epoch or no batch, ``epochs`` does
            not have one number per task, or ``val_interval`` is below 1.

    Examples:
        >>> train_cfg = dict(type='mask_plugins.ContinualTrainLoop', epochs=10)
        >>> LOOPS.get(train_cfg['type']).__name__
        'ContinualTrainLoop'
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Union[DataLoader, dict],
        epochs: Union[int, Sequence[int]] = 10,
        later_epochs: float = 1.0,
        val_interval: int = 1000,
    ) -> None:
        check_int('val_interval', val_interval, 1)
        super().__init__(runner, dataloader, 1, val_interval=val_interval)
        samplers = samplers_of(self.dataloader)
        found = [s for s in samplers if isinstance(s, TaskSampler)]
        if not found:
            what = 'mask_plugins.TaskSampler'
            raise TypeError(f'train_dataloader.sampler must be a {what}')
        self._sampler = found[0]
        tasks = self._sampler.dataset.num_tasks
        self.epochs = epochs_of_tasks(tasks, epochs, later_epochs)
        self.ends = list(itertools.accumulate(self.epochs))
        self._lengths = [self._length(task) for task in range(tasks)]
        self._sampler.set_task(0)
        self._max_epochs = self.ends[-1]
        self._max_iters = self._iters_before(tasks)

    def _iters_before(self, task: int) -> int:
        lengths = self._lengths[:task]
        return sum(map(operator.mul, self.epochs, lengths))

    def _length(self, task: int) -> int:
        """Iterations of an epoch."""
        self._sampler.set_task(task)
        if not len(self.dataloader):
            what = f'{len(self._sampler)} samples, too few for one batch'
            raise ValueError(f'task {task} has {what}')
        return len(self.dataloader)

    # ------------------------------------------------------------ where it is
    @property
    def bounds(self) -> Sequence[int]:
        """Where tasks begin and end among the classes."""
        return self._sampler.dataset.bounds

    @property
    def task(self) -> int:
        """The task of the epoch that is trained, or comes next."""
        return min(bisect.bisect(self.ends, self._epoch), len(self.epochs) - 1)

    @property
    def begins_task(self) -> bool:
        """Whether no iteration of this epoch's task has been trained."""
        done = self._begin[1] if self._begin else self.batches_done()
        return not done and self._epoch == self._first_epoch()

    @property
    def last_task(self) -> int:
        """The task that was trained last, of the epochs that are done."""
        return bisect.bisect(self.ends, max(0, self._epoch - 1))

    def _first_epoch(self) -> int:
        return self.ends[self.task] - self.epochs[self.task]

    # --------------------------------------------------------------- the loop
    def run(self):
        """Train all tasks."""
        self._sampler.set_task(self.task)
        return super().run()

    def run_epoch(self) -> None:
        """Train what is left of the epoch, of the task it belongs to."""
        self._sampler.set_task(self.task)
        super().run_epoch()

    def batches_done(self) -> int:
        """Batches of the current epoch that a resumed run has trained."""
        if self._saved_at is not None:
            return super().batches_done()
        # Where the checkpoint does not say it: tasks differ in length.
        within = (self._epoch - self._first_epoch()) * len(self.dataloader)
        done = self._iter - self._iters_before(self.task) - within
        return done if 0 < done <= len(self.dataloader) else 0

    def _decide_current_val_interval(self) -> None:
        """Validate at the end of a task, and at the interval within it."""
        if self._epoch in self.ends:
            self.val_interval = 1
            return
        within = self._epoch - self._first_epoch()
        due = within and within % self.dynamic_intervals[0] == 0
        # What mmengine's loop and owes_validation divide the epochs by.
        self.val_interval = 1 if due else self._max_epochs + 1


def epochs_of_tasks(
    tasks: int, epochs: Union[int, Sequence[int]], later_epochs: float = 1.0
) -> List[int]:
    """How long each task is trained.

    Args:
        tasks (int): Number of tasks.
        epochs (int | Sequence[int]): Of the first task, or of each.
        later_epochs (float): Factor of the tasks after the first, which the
            result is rounded down by. Defaults to 1.0.

    Returns:
        list[int]: One number per task.

    Raises:
        TypeError, ValueError: If a task would have no epoch, or ``epochs`` is
            a list of another length, or also has a factor.

    Examples:
        >>> epochs_of_tasks(3, 30, later_epochs=1.25)
        [30, 37, 37]
    """
    if isinstance(epochs, (list, tuple)):
        if len(epochs) != tasks or later_epochs != 1:
            what = f'{tasks} numbers, and later_epochs be 1'
            raise ValueError(f'epochs must have {what}, got {epochs!r}')
        return [check_int('epochs', n, 1) for n in epochs]
    first = check_int('epochs', epochs, 1)
    later = int(check_number('later_epochs', later_epochs) * first)
    check_int(f'later_epochs={later_epochs} of {first} epochs', later, 1)
    return [first] + [later] * (tasks - 1)
