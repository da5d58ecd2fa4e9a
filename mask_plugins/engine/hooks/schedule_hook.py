# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Set a scheduled value in the model before every iteration."""

from typing import List, Optional, Tuple, Union

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.core.schedules import Schedule
from mask_plugins.core.weights import write_settings
from mask_plugins.registry import HOOKS, SCHEDULES

from .attribute_target import Target, find_targets


@HOOKS.register_module()
class ScheduleHook(Hook):
    """Set an attribute of the model to ``schedule.value(t)``.

    The value is a pure function of ``runner.iter``, set in
    ``before_train_iter``: a resumed run continues it without any state, the
    logged value (``train/<name>``) is the value that the iteration used, and
    all ranks agree.

    Around validation and test the attribute is ``eval_value``. The hook runs
    after :class:`mmengine.hooks.EMAHook`, which swaps tensors only, so that
    scheduled values are never averaged.

    Args:
        target (str): Dotted path of the attribute, from the model without
            its wrappers, such as ``'backbone.drop_ratio'``. ``*`` stands for
            one module name, ``**`` for any number of them; only with a star
            may several attributes match. See :func:`find_targets`.
        schedule (dict | Schedule): Config of a schedule in ``SCHEDULES``.
        by_epoch (bool): Count epochs instead of iterations: t is the epoch,
            and ``total`` and ``period`` are epochs. Defaults to False.
        unit (str): When the value may change otherwise: at every iteration of
            the data loader, ``'iter'``, or at every optimizer step,
            ``'update'``, which are fewer under gradient accumulation. Lengths
            are iterations in both cases. Defaults to ``'iter'``.
        eval_value (float, optional): Value during validation and test; None
            leaves the attribute as it is. Defaults to None.
        name (str, optional): Name of the logged scalar; by default the last
            part of ``target``.

    Raises:
        TypeError, ValueError: If an argument is not one of the allowed.
        AttributeError: If ``target`` matches nothing in the model.
    """

    # Below EMAHook ('NORMAL'), so that its swap comes first; above LoggerHook
    # ('BELOW_NORMAL' = 60), so that the value is logged where it is used.
    priority = 55

    def __init__(
        self,
        target: str,
        schedule: Union[dict, Schedule],
        by_epoch: bool = False,
        unit: str = 'iter',
        eval_value: Optional[float] = None,
        name: Optional[str] = None,
    ) -> None:
        if not isinstance(target, str) or not target:
            raise TypeError(
                "target must be a dotted path such as 'backbone.drop_ratio', "
                f'got {target!r}'
            )
        if unit not in ('iter', 'update'):
            raise ValueError(f"unit must be 'iter' or 'update', got {unit!r}")
        if by_epoch and unit != 'iter':
            raise ValueError(
                f'by_epoch=True counts epochs; unit={unit!r} contradicts it'
            )
        if eval_value is not None and (
            isinstance(eval_value, bool)
            or not isinstance(eval_value, (int, float))
        ):
            raise TypeError(
                f'eval_value must be a number or None, got {eval_value!r}'
            )
        if isinstance(schedule, dict):
            schedule = SCHEDULES.build(schedule)
        if not isinstance(schedule, Schedule):
            raise TypeError(
                'schedule must be a Schedule or the config of one, got '
                f'{schedule!r}'
            )
        self.target = target
        self.schedule = schedule
        self.by_epoch = by_epoch
        self.unit = unit
        self.eval_value = eval_value
        self.name = name or target.rpartition('.')[2]
        self._targets: Optional[List[Target]] = None
        self._resolved: Optional[Schedule] = None
        self._train_values: Optional[List[float]] = None

    # ------------------------------------------------------------- training
    def before_train(self, runner: Runner) -> None:
        """Resolve the target and the lengths; say what will happen."""
        self._find(runner)
        self._resolved = self.schedule.resolve(*self.lengths(runner))
        self._report(runner)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None
    ) -> None:
        """Set this iteration's value and log what the model then has."""
        value = self.value(runner)
        for target in self._find(runner):
            target.set(value)
        used = self._targets[0].get()
        runner.message_hub.update_scalar(f'train/{self.name}', used)

    def lengths(self, runner: Runner) -> Tuple[int, int]:
        """What t runs to, in all and per epoch."""
        epoch = len(runner.train_dataloader)
        total = runner.max_iters
        if epoch < 1 or total < 1:
            raise ValueError(
                f'{type(self).__name__} needs at least one training '
                f'iteration, but the train loop has {epoch} per epoch and '
                f'{total} in all'
            )
        return (-(-total // epoch), 1) if self.by_epoch else (total, epoch)

    def value(self, runner: Runner) -> float:
        """The scheduled value at ``runner.iter``."""
        t = runner.iter
        if self.by_epoch:
            t //= len(runner.train_dataloader)
        elif self.unit == 'update':
            # The iteration that began this update: t stays in iterations, so
            # that an epoch is as long for the schedule as for the loop.
            t -= t % getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        return self._resolved.value(t)

    # ----------------------------------------------------------- evaluation
    def before_val_epoch(self, runner: Runner) -> None:
        """Set the evaluation value."""
        self._set_eval(runner)

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Give the training value back."""
        self._set_train(runner)

    def before_test_epoch(self, runner: Runner) -> None:
        """Set the evaluation value."""
        self._set_eval(runner)

    def after_test_epoch(self, runner: Runner, metrics=None) -> None:
        """Give the training value back."""
        self._set_train(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Averaged masks get what a schedule has set."""
        write_settings(runner.model, checkpoint)

    def _set_eval(self, runner: Runner) -> None:
        if self.eval_value is None:
            return
        targets = self._find(runner)
        self._train_values = [target.get() for target in targets]
        if runner._train_loop is None and set(self._train_values) != {
            self.eval_value
        }:
            # A test of a model that was configured otherwise: say so, or its
            # numbers would be taken for those of the configured value.
            runner.logger.warning(
                f'{type(self).__name__} tests with {self.target} = '
                f'{self.eval_value}, not the configured '
                f'{self._train_values[0]}; set eval_value of the hook for '
                'another value'
            )
        for target in targets:
            target.set(self.eval_value)

    def _set_train(self, runner: Runner) -> None:
        if self._train_values is None:
            return
        for target, value in zip(self._find(runner), self._train_values):
            target.set(value)
        self._train_values = None

    # ---------------------------------------------------------------- parts
    def _find(self, runner: Runner) -> List[Target]:
        if self._targets is None:
            self._targets = find_targets(runner.model, self.target)
        return self._targets

    @master_only
    def _report(self, runner: Runner) -> None:
        paths = ', '.join(target.path for target in self._targets)
        runner.logger.info(
            f'{type(self).__name__} sets {paths} by {self._resolved!r}'
        )
