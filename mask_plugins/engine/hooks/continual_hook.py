# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Set the task for model, teacher and metric."""

from typing import List, Mapping, Optional, Sequence

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from mask_plugins.engine.loops import ContinualTrainLoop
from mask_plugins.engine.optimizers import TaskwiseMultiStepLR
from mask_plugins.engine.optimizers.no_weight_decay import (
    optimizers_of,
    schedulers_of,
)
from mask_plugins.evaluation.metrics import EVALUATED_TASKS
from mask_plugins.functional import continual
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_bool, check_number, check_type
from mask_plugins.utils.files import write_json

from .attribute_target import unwrap
from .pictures import show_figure
from .task_parts import mark_groups, task_modules, tasks_of

# In the message hub, and so in checkpoints: the accuracy matrix so far.
ROWS = 'accuracy_matrix'


@HOOKS.register_module()
class ContinualHook(Hook):
    """Go from task to task, and keep the accuracy matrix.

    Needs :class:`mask_plugins.ContinualTrainLoop`, which decides on the task
    by the epoch. At the first epoch of a task

    - :class:`mask_plugins.ClassIncrementalHead` and
      :class:`mask_plugins.OldClassesLoss` learn which classes are old and
      seen (as everything in the model that has ``set_classes(old, seen)``);
    - :class:`mask_plugins.TaskTeacher` becomes the model as it is now;
    - the optimizer stays as it is, or loses its momentum on request.

    :class:`mask_plugins.TaskwiseMultiStepLR` learns how long tasks are. The
    last validation of a task is its row of the accuracy matrix, which
    checkpoints hold. After training it is written as a table into the log, as
    ``accuracy_matrix.json``, and as a picture through the visualizer and to
    ``accuracy_matrix.png`` in the work_dir.

    Args:
        reset_momentum (bool): Forget the optimizer's state where a task
            begins. Defaults to False.
        later_lr_mult (Mapping[str, float]): Module of the model to factor of
            its learning rate in all tasks but the first, such as
            ``dict(backbone=0.3)``; with ``TaskwiseMultiStepLR``. Defaults to
            {}.

    Raises:
        TypeError: If the loop, a dataset or the model knows no tasks.
        ValueError: If training and validation differ in tasks or class order,
            the head has another number of classes, or ``later_lr_mult`` names
            no module whose parameters have groups of their own.

    Examples:
        >>> ContinualHook(later_lr_mult=dict(backbone=0.3)).reset_momentum
        False
    """

    # After EMAHook (50), which swaps tensors; before TeacherHook and those
    # that log.
    priority = 54

    def __init__(
        self,
        reset_momentum: bool = False,
        later_lr_mult: Optional[Mapping[str, float]] = None,
    ) -> None:
        self.reset_momentum = check_bool('reset_momentum', reset_momentum)
        self.later_lr_mult = {
            name: check_number(f'later_lr_mult[{name!r}]', factor, 0)
            for name, factor in (later_lr_mult or {}).items()
        }
        self._loaded_rows: List[List[float]] = []

    # ------------------------------------------------------------- training
    def before_train(self, runner: Runner) -> None:
        """Check that all parts fit together."""
        loop, what = runner.train_loop, 'a mask_plugins.ContinualTrainLoop'
        check_type('train_cfg', loop, ContinualTrainLoop, what)
        sets = [runner.train_dataloader.dataset]
        if runner.val_loop is not None:
            sets.append(tasks_of(runner, 'val_dataloader'))
        mine, *others = [(part.bounds, part.classes) for part in sets]
        if others not in ([], [mine]):
            raise ValueError(
                'train_dataloader and val_dataloader must have the same '
                f'tasks and class order, got {mine} and {others[0]}'
            )
        task_modules(runner, loop.bounds)
        self._prepare_schedules(runner)
        if runner.iter == 0:
            runner.message_hub.update_info(ROWS, [])

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the task; begin it, where this is its first iteration."""
        loop = runner.train_loop
        self._set_task(runner, loop.bounds, loop.task)
        if not loop.begins_task:
            return
        runner.logger.info(
            f'Task {loop.task + 1} of {len(loop.epochs)}: classes '
            f'{task_names(runner)[loop.task]}, {loop.epochs[loop.task]} epochs'
        )
        if not loop.task:
            return
        model = unwrap(runner.model)
        teacher = getattr(model, 'teacher', None)
        if teacher is not None and teacher.follows_tasks:
            teacher.update(model.student_network())
        if self.reset_momentum:
            for optimizer in optimizers_of(runner.optim_wrapper):
                optimizer.state.clear()

    def after_train(self, runner: Runner) -> None:
        """The table, the picture, the report as JSON."""
        rows = runner.message_hub.get_info(ROWS, [])
        if not rows or not is_main_process():
            return
        from mask_plugins.visualization import draw_accuracy_matrix

        report = continual.continual_report(rows, task_names(runner))
        runner.logger.info(f'Accuracy in %:\n{continual.matrix_table(report)}')
        write_json(f'{runner.work_dir}/{continual.REPORT}.json', report)
        figure = draw_accuracy_matrix(report)
        show_figure(runner, continual.REPORT, figure, runner.epoch)

    # ----------------------------------------------------------- evaluation
    def before_val_epoch(self, runner: Runner) -> None:
        """Share the task that was trained last with the metric."""
        loop = runner._train_loop
        if isinstance(loop, ContinualTrainLoop):
            self._set_task(runner, loop.bounds, loop.last_task)
            rows = runner.message_hub.get_info(ROWS, [])
            self._share(runner, loop.bounds, loop.last_task, rows)
        else:  # a validation alone
            self._share_seen(runner, 'val_dataloader')

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Keep the row of this task."""
        shared = runner.message_hub.pop_info(EVALUATED_TASKS)
        task = shared['task']
        # Under any prefix.
        found = {k.rpartition('/')[2]: v for k, v in (metrics or {}).items()}
        row = [found.get(f'task{number + 1}') for number in range(task + 1)]
        if None not in row:
            rows = [*shared['rows'][:task], [float(value) for value in row]]
            runner.message_hub.update_info(ROWS, rows)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Have the rows for a test, which has no message hub of its own."""
        info = checkpoint.get('message_hub', {}).get('runtime_info', {})
        self._loaded_rows = info.get(ROWS, [])

    def before_test_epoch(self, runner: Runner) -> None:
        """Share the task that the head has seen."""
        self._share_seen(runner, 'test_dataloader')

    def after_test_epoch(self, runner: Runner, metrics=None) -> None:
        """Stop sharing."""
        runner.message_hub.pop_info(EVALUATED_TASKS)

    # ---------------------------------------------------------------- parts
    def _share_seen(self, runner: Runner, loader: str) -> None:
        bounds = tasks_of(runner, loader).bounds
        parts = task_modules(runner, bounds)
        seen = min(int(p.seen) for p in parts if hasattr(p, 'num_classes'))
        if seen not in bounds[1:]:
            what = f'{seen} classes seen are not one of {bounds[1:]}'
            raise ValueError(f'{loader}: {what}')
        self._share(runner, bounds, bounds.index(seen) - 1, self._loaded_rows)

    @staticmethod
    def _share(runner: Runner, bounds, task: int, rows: list) -> None:
        # Not by update_info(resumed=False): it leaves the key in checkpoints,
        # which mmengine then warns about.
        runner.message_hub.runtime_info[EVALUATED_TASKS] = dict(
            bounds=list(bounds), task=task, rows=list(rows)
        )

    @staticmethod
    def _set_task(runner: Runner, bounds: Sequence[int], task: int) -> None:
        for module in task_modules(runner, bounds):
            module.set_classes(bounds[task], bounds[task + 1])

    def _prepare_schedules(self, runner: Runner) -> None:
        schedulers = schedulers_of(runner.param_schedulers)
        ours = [s for s in schedulers if isinstance(s, TaskwiseMultiStepLR)]
        for scheduler in ours:
            scheduler.set_task_epochs(runner.train_loop.epochs)
        if not self.later_lr_mult:
            return
        if not ours or not isinstance(runner.optim_wrapper, OptimWrapper):
            what = 'one optimizer with mask_plugins.TaskwiseMultiStepLR'
            raise ValueError(f'later_lr_mult needs {what}')
        for name, factor in self.later_lr_mult.items():
            mark_groups(runner, name, factor)


def task_names(runner: Runner) -> List[List[str]]:
    """Names of the classes of each task, or their numbers."""
    bounds = runner.train_loop.bounds
    names = runner.train_dataloader.dataset.metainfo.get('classes')
    names = names or [str(i) for i in range(bounds[-1])]
    return [list(names[a:b]) for a, b in zip(bounds, bounds[1:])]
