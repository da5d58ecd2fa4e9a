# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The schedule hook with the defaults of patch sampling schedules."""

from collections import Counter
from typing import Optional, Tuple, Union

from mmengine.dist import master_only
from mmengine.runner import BaseLoop, Runner

from mask_plugins.core.schedules import CyclicSchedule, Schedule
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_bool, check_choice, check_ratio

from .schedule_hook import ScheduleHook
from .token_budget import TokenBudget, tokens_of

CYCLIC_80_0 = CyclicSchedule(0.8, 0.0, quantum=0.2, plateau='end')


@HOOKS.register_module()
class PSSHook(ScheduleHook):
    """Step the token drop ratio of a backbone every iteration.

    Patch Sampling Schedules (McDanel & Huynh, arXiv:2208.09520): the drop
    ratio follows a schedule over iterations in training and is 0 in
    validation and test. At the start of training the hook logs, for each drop
    ratio, its share of the iterations and its token count.

    With ``batch='budget'`` the batch grows as tokens drop: it has the most
    images whose kept tokens are no more than those of ``batch_size`` whole
    images. A step then costs about the same at every ratio. The drop ratio
    and the learning rate are functions of the images that were trained, as
    they are of the iteration otherwise: :class:`TokenBudget`. The loss stays
    the mean over the images of a batch; ``train/batch_size`` is logged.

    Args:
        schedule (dict | Schedule): Defaults to the paper's best, cyclic from
            80 % to 0 once per epoch, in steps of 20 %.
        target (str): Defaults to ``'backbone.drop_ratio'``.
        batch (str): ``'fixed'``, or ``'budget'``, which needs
            ``train_dataloader.batch_sampler=dict(
            type='mask_plugins.TokenBudgetSampler')``. Defaults to
            ``'fixed'``.
        scale_lr (bool): Multiply the learning rate of an iteration by its
            batch over ``batch_size``; only with a budget. Defaults to False.
        **kwargs: See :class:`ScheduleHook`; ``eval_value`` defaults to 0,
            ``name`` to ``'patch_drop_ratio'``.

    Raises:
        ValueError: If the schedule leaves [0, 1), or ``scale_lr`` or
            ``unit='update'`` contradict ``batch``.

    Examples:
        >>> PSSHook().schedule.resolve(40, 10).value(0)
        0.8
        >>> PSSHook(batch='budget', scale_lr=True).batch
        'budget'
    """

    # The levels of a long run repeat; a sample this large has them all.
    REPORTED_ITERATIONS = 20000

    def __init__(
        self,
        schedule: Union[dict, Schedule] = CYCLIC_80_0,
        target: str = 'backbone.drop_ratio',
        batch: str = 'fixed',
        scale_lr: bool = False,
        **kwargs,
    ) -> None:
        # It is known to act: no probe.
        own = dict(eval_value=0.0, name='patch_drop_ratio', probe=False)
        super().__init__(target, schedule, **{**own, **kwargs})
        for bound in self.schedule.bounds:
            check_ratio('the drop ratio of the schedule', bound, ends='[)')

        self.batch = check_choice('batch', batch, ('fixed', 'budget'))
        self.scale_lr = check_bool('scale_lr', scale_lr)
        if scale_lr and batch == 'fixed':
            raise ValueError("scale_lr=True contradicts batch='fixed'")
        if self.unit == 'update' and batch == 'budget':
            raise ValueError("unit='update' contradicts batch='budget'")
        self._budget: Optional[TokenBudget] = None

    def before_run(self, runner: Runner) -> None:
        """Say what the batches are, before a resume asks for a length."""
        loop = runner._train_loop
        if self.batch == 'fixed' or not isinstance(loop, BaseLoop):
            return
        module = self._find(runner)[0].module
        self._budget = TokenBudget(runner, module, self.scale_lr)
        self._resolved = self.schedule.resolve(*self.lengths(runner))
        self._budget.start(runner, self._value_at)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """See :class:`ScheduleHook`; a budget's batch and rate too."""
        if self._budget is not None:
            self._budget.begin(runner, batch_idx)
        super().before_train_iter(runner, batch_idx, data_batch)

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Have the schedulers follow the images."""
        if self._budget is not None:
            self._budget.end(runner)

    def lengths(self, runner: Runner) -> Tuple[int, int]:
        """What t runs to; with a budget in full batches."""
        if self._budget is None:
            return super().lengths(runner)
        total, epoch = self._budget.length, self._budget.sampler.full_batches
        return (-(-total // epoch), 1) if self.by_epoch else (total, epoch)

    def value(self, runner: Runner) -> float:
        """The drop ratio of this iteration."""
        if self._budget is None:
            return super().value(runner)
        return self._value_at(self._budget.step.position)

    def _value_at(self, position: int) -> float:
        """The drop ratio after so many full batches."""
        if self.by_epoch:
            position //= self._budget.sampler.full_batches
        return self._resolved.value(position)

    @master_only
    def _report(self, runner: Runner) -> None:
        super()._report(runner)
        module, what = self._targets[0].module, 'iterations'
        if self._budget is not None:
            what = 'images'
            runner.logger.info(
                f'{runner.max_iters} iterations in place of '
                f'{self._budget.length}'
            )
        total, _ = self.lengths(runner)
        # An odd stride does not lock onto the period of a cycle.
        steps = range(0, total, total // self.REPORTED_ITERATIONS | 1)
        counts = Counter(map(self._resolved.value, steps))
        if len(counts) > 20:
            return
        for ratio, count in sorted(counts.items(), reverse=True):
            share = 100 * count / len(steps)
            line = f'drop ratio {ratio:.2f}: {share:5.1f} % of {what}'
            kept = tokens_of(module, ratio)
            if kept is not None:
                line += f', {kept} of {tokens_of(module, 0.0)} tokens'
            if self._budget is not None:
                line += f', batches of {self._budget.size(ratio)}'
            runner.logger.info(line)
