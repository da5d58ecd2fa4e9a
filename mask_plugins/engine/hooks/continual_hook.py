# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Set the task for model, teacher and metric."""

import os.path as osp
from typing import Any, Dict, List, Mapping, Optional, Sequence

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from mask_plugins.engine.loops import ContinualTrainLoop
from mask_plugins.engine.optimizers.no_weight_decay import (
    optimizers_of,
    schedulers_of,
)
from mask_plugins.engine.optimizers.taskwise_multi_step_lr import (
    TaskwiseMultiStepLR,
)
from mask_plugins.evaluation.metrics import EVALUATED_TASKS
from mask_plugins.functional.continual import (
    REPORT,
    continual_report,
    matrix_table,
)
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_bool, check_number
from mask_plugins.utils.files import write_json

from .attribute_target import unwrap
from .task_parts import check_classes, mark_groups, task_modules, tasks_of

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
        loop = runner.train_loop
        if not isinstance(loop, ContinualTrainLoop):
            raise TypeError(
                f'{type(self).__name__} needs train_cfg=dict(type='
                "'mask_plugins.ContinualTrainLoop'), got "
                f'{type(loop).__name__}'
            )
        train = runner.train_dataloader.dataset
        if runner.val_loop is not None:
            val = tasks_of(runner.val_dataloader.dataset, 'val_dataloader')
            if (val.bounds, val.classes) != (train.bounds, train.classes):
                raise ValueError(
                    'train_dataloader and val_dataloader must have the same '
                    f'tasks and class order, got {train.bounds} of '
                    f'{train.classes} and {val.bounds} of {val.classes}'
                )
        check_classes(task_modules(runner.model), loop.bounds)
        self._prepare_schedules(runner, loop)
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
            f'{task_names(runner)[loop.task]}, {loop.epochs[loop.task]} '
            f'epochs of {len(runner.train_dataloader)} iterations'
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
        from mask_plugins.visualization import (
            draw_accuracy_matrix,
            figure_to_image,
            save_figure,
        )

        report = continual_report(rows, task_names(runner))
        runner.logger.info(f'Accuracy in %:\n{matrix_table(report)}')
        path = osp.join(runner.work_dir, REPORT)
        write_json(f'{path}.json', report)
        figure = draw_accuracy_matrix(report)
        runner.visualizer.add_image(
            REPORT, figure_to_image(figure), runner.epoch
        )
        save_figure(figure, f'{path}.png', dpi=150)

    # ----------------------------------------------------------- evaluation
    def before_val_epoch(self, runner: Runner) -> None:
        """Share the task that was trained last with the metric."""
        if not _trains(runner):
            self._share_seen(runner, 'val_dataloader')
            return
        loop = runner.train_loop
        self._set_task(runner, loop.bounds, loop.last_task)
        self._share(runner, loop.bounds, loop.last_task)

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, Any]] = None
    ) -> None:
        """Keep the row of this task."""
        shared = runner.message_hub.pop_info(EVALUATED_TASKS)
        task = shared['task']
        # Under any prefix.
        found = {k.rpartition('/')[2]: v for k, v in (metrics or {}).items()}
        keys = [f'task{number + 1}' for number in range(task + 1)]
        if all(key in found for key in keys):
            row = [float(found[key]) for key in keys]
            rows = [*shared['rows'][:task], row]
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
        bounds = tasks_of(getattr(runner, loader).dataset, loader).bounds
        parts = task_modules(runner.model)
        check_classes(parts, bounds)
        seen = min(int(p.seen) for p in parts if hasattr(p, 'num_classes'))
        if seen not in bounds[1:]:
            raise ValueError(
                f'the model has seen {seen} classes, which is not the end of '
                f'a task in {bounds}: {loader} has other tasks than training'
            )
        self._share(runner, bounds, bounds.index(seen) - 1)

    def _share(self, runner: Runner, bounds: Sequence[int], task: int) -> None:
        rows = self._loaded_rows
        if _trains(runner):
            rows = runner.message_hub.get_info(ROWS, [])
        # Not by update_info(resumed=False): it leaves the key in checkpoints,
        # which mmengine then warns about.
        runner.message_hub.runtime_info[EVALUATED_TASKS] = dict(
            bounds=list(bounds), task=task, rows=list(rows)
        )

    @staticmethod
    def _set_task(runner: Runner, bounds: Sequence[int], task: int) -> None:
        for module in task_modules(runner.model):
            module.set_classes(bounds[task], bounds[task + 1])

    def _prepare_schedules(
        self, runner: Runner, loop: ContinualTrainLoop
    ) -> None:
        ours = [
            scheduler
            for scheduler in schedulers_of(runner.param_schedulers)
            if isinstance(scheduler, TaskwiseMultiStepLR)
        ]
        for scheduler in ours:
            scheduler.set_task_epochs(loop.epochs)
        if not self.later_lr_mult:
            return
        if not ours or not isinstance(runner.optim_wrapper, OptimWrapper):
            raise ValueError(
                f'later_lr_mult={self.later_lr_mult} needs one optimizer with '
                "param_scheduler=dict(type='mask_plugins.TaskwiseMultiStepLR')"
            )
        groups = runner.optim_wrapper.param_groups
        model = unwrap(runner.model)
        for name, factor in self.later_lr_mult.items():
            mark_groups(groups, model, name, factor)


def task_names(runner: Runner) -> List[List[str]]:
    """Names of the classes of each task, or their numbers."""
    bounds = runner.train_loop.bounds
    names = runner.train_dataloader.dataset.metainfo.get('classes')
    names = names or [str(i) for i in range(bounds[-1])]
    return [list(names[a:b]) for a, b in zip(bounds, bounds[1:])]


def _trains(runner: Runner) -> bool:
    """Whether there is a training, not a validation or test alone."""
    return isinstance(runner._train_loop, ContinualTrainLoop)
