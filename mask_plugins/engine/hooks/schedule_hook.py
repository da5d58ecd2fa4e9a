# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Set a scheduled value in the model before every iteration."""

from typing import Any, List, Optional, Tuple, Union

from mmengine.dist import get_world_size, master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.core.schedules import Schedule
from mask_plugins.core.weights import write_settings
from mask_plugins.datasets.samplers import (
    budget_sampler_of,
    full_length,
    locate_step,
    position_of,
)
from mask_plugins.registry import HOOKS, SCHEDULES
from mask_plugins.utils.checks import (
    check_bool,
    check_choice,
    check_number,
    check_type,
)

from ..checkpoint import plain_checkpoint
from ..checkpoint.resumed_length import fit_length
from .attribute_target import Target, find_targets
from .schedule_probe import changes_loss


@HOOKS.register_module()
class ScheduleHook(Hook):
    """Set an attribute of the model to ``schedule.value(t)``.

    The value is a pure function of ``runner.iter``, set in
    ``before_train_iter``: a resumed run continues it without any state, the
    logged value (``train/<name>``) is the value that the iteration used, and
    all ranks agree. If the length of the run has changed at a resume, the
    position is counted in epochs (:func:`fit_length`).

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
        probe (bool): Warn if the loss of the first batch is the same at both
            ends of the schedule, as it is for an attribute that nothing
            reads. Takes two forward passes of a copy of the model, once, in
            a run of one process. Defaults to True.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``unit`` is unknown or contradicts ``by_epoch``.

    Examples:
        >>> schedule = dict(type='mask_plugins.LinearSchedule', start=1, end=0)
        >>> hook = ScheduleHook('head.loss_module.loss_weight', schedule)
        >>> hook.name
        'loss_weight'
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
        probe: bool = True,
    ) -> None:
        self.target = check_type('target', target, str, 'a dotted path')
        self.by_epoch = check_bool('by_epoch', by_epoch)
        self.unit = check_choice('unit', unit, ('iter', 'update'))
        if by_epoch and unit != 'iter':
            raise ValueError(f'unit={unit!r} contradicts by_epoch=True')
        self.eval_value = check_number('eval_value', eval_value, optional=True)
        if isinstance(schedule, dict):
            schedule = SCHEDULES.build(schedule)
        what = 'a Schedule or its config'
        self.schedule = check_type('schedule', schedule, Schedule, what)
        self.name = name or target.rpartition('.')[2]
        self.probe = check_bool('probe', probe)
        self._targets: Optional[List[Target]] = None
        self._resolved: Optional[Schedule] = None
        self._train_values: Optional[List[float]] = None

    # ------------------------------------------------------------- training
    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Fit it to the length of the run; SafeCheckpointHook does its own."""
        if plain_checkpoint.KEY not in checkpoint:
            fit_length(runner, checkpoint)

    def before_train(self, runner: Runner) -> None:
        """Resolve the target and the lengths; say what will happen."""
        self._find(runner)
        self._resolved = self.schedule.resolve(*self.lengths(runner))
        # mmengine logs the mean of what is called like a loss or a time.
        processor = runner.log_processor
        current = dict(data_src=self.name, method_name='current')
        if current not in processor.custom_cfg:
            processor.custom_cfg.append(current)
        self._report(runner)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Set this iteration's value and log what the model then has."""
        value = self.value(runner)
        for target in self._find(runner):
            target.set(value)
        used = self._targets[0].get()
        runner.message_hub.update_scalar(f'train/{self.name}', used)
        if runner.iter == 0 and self.probe and get_world_size() == 1:
            self._probe(runner, data_batch)

    def _probe(self, runner: Runner, data_batch: Any) -> None:
        """Warn of a value that changes nothing."""
        low, high = self.schedule.bounds
        # A momentum acts after the loss.
        if low == high or self._targets[0].name == 'momentum':
            return
        if changes_loss(runner, self.target, (low, high), data_batch) is False:
            runner.logger.warning(
                f'{type(self).__name__}: the schedule has no effect, the loss '
                f'is the same with {self.target} = {low} and {high}. Look up '
                'which attribute the module uses, or set probe=False'
            )

    def lengths(self, runner: Runner) -> Tuple[int, int]:
        """What t runs to, in all and per epoch."""
        loader, total = runner.train_dataloader, runner.max_iters
        epoch, budget = full_length(loader), budget_sampler_of(loader)
        if budget is not None and budget.length is not None:
            total = budget.length
        if epoch < 1 or total < 1:
            raise ValueError('schedules need at least one training iteration')
        if self.by_epoch:
            return -(-total // epoch), 1
        return total, epoch

    def value(self, runner: Runner) -> float:
        """The scheduled value at ``runner.iter``."""
        t = runner.iter
        if self.by_epoch:
            t = locate_step(runner.train_dataloader, t)[0]
        elif self.unit == 'update':
            # The iteration that began this update: t stays in iterations, so
            # that an epoch is as long for the schedule as for the loop.
            t -= t % getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if not self.by_epoch:
            t = position_of(runner.train_dataloader, t)
        return self._resolved.value(t)

    # ----------------------------------------------------------- evaluation
    def before_val_epoch(self, runner: Runner) -> None:
        """Set the evaluation value; before a test too."""
        if self.eval_value is None:
            return
        targets = self._find(runner)
        self._train_values = [target.get() for target in targets]
        other = [v for v in self._train_values if v != self.eval_value]
        if runner._train_loop is None and other:
            # A test of a model that was configured otherwise: say so, or its
            # numbers would be taken for those of the configured value.
            what = f'{self.target} = {self.eval_value}'
            used = f'not the configured {other[0]}'
            runner.logger.warning(f'tests with {what}, {used}')
        for target in targets:
            target.set(self.eval_value)

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Give the training value back; after a test too."""
        if self._train_values is None:
            return
        for target, value in zip(self._find(runner), self._train_values):
            target.set(value)
        self._train_values = None

    before_test_epoch = before_val_epoch
    after_test_epoch = after_val_epoch

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Averaged masks get what a schedule has set."""
        write_settings(runner.model, checkpoint)

    # ---------------------------------------------------------------- parts
    def _find(self, runner: Runner) -> List[Target]:
        if self._targets is None:
            self._targets = find_targets(runner.model, self.target)
        return self._targets

    @master_only
    def _report(self, runner: Runner) -> None:
        paths = ', '.join(target.path for target in self._targets)
        name = type(self).__name__
        runner.logger.info(f'{name} sets {paths} by {self._resolved!r}')
