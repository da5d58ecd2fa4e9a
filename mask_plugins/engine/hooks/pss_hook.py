# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The schedule hook with the defaults of patch sampling schedules."""

from collections import Counter
from typing import Union

from mmengine.dist import master_only
from mmengine.runner import Runner

from mask_plugins.core.schedules import CyclicSchedule, Schedule
from mask_plugins.core.tokens import keep_count
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_ratio

from .schedule_hook import ScheduleHook

CYCLIC_80_0 = CyclicSchedule(0.8, 0.0, quantum=0.2, plateau='end')


@HOOKS.register_module()
class PSSHook(ScheduleHook):
    """Step the token drop ratio of a backbone every iteration.

    Patch Sampling Schedules (McDanel & Huynh, arXiv:2208.09520): the drop
    ratio follows a schedule over iterations in training and is 0 in
    validation and test. At the start of training the hook logs, for each drop
    ratio, its share of the iterations and its token count.

    Args:
        schedule (dict | Schedule): Defaults to the paper's best, cyclic from
            80 % to 0 once per epoch, in steps of 20 %.
        target (str): Defaults to ``'backbone.drop_ratio'``.
        **kwargs: See :class:`ScheduleHook`; ``eval_value`` defaults to 0,
            ``name`` to ``'patch_drop_ratio'``.

    Raises:
        ValueError: If the schedule leaves [0, 1).

    Examples:
        >>> PSSHook().schedule.resolve(40, 10).value(0)
        0.8
    """

    # The levels of a long run repeat; a sample this large has them all.
    REPORTED_ITERATIONS = 20000

    def __init__(
        self,
        schedule: Union[dict, Schedule] = CYCLIC_80_0,
        target: str = 'backbone.drop_ratio',
        **kwargs,
    ) -> None:
        # It is known to act: no probe.
        own = dict(eval_value=0.0, name='patch_drop_ratio', probe=False)
        super().__init__(target, schedule, **{**own, **kwargs})
        for bound in self.schedule.bounds:
            check_ratio('the drop ratio of the schedule', bound, ends='[)')

    @master_only
    def _report(self, runner: Runner) -> None:
        super()._report(runner)
        module = self._targets[0].module
        resolution = getattr(module, 'patch_resolution', None)
        prefix = getattr(module, 'num_extra_tokens', 1)
        count_on = getattr(module, 'count_on', 'tokens')
        total, _ = self.lengths(runner)
        # An odd stride does not lock onto the period of a cycle.
        steps = range(0, total, total // self.REPORTED_ITERATIONS | 1)
        counts = Counter(map(self._resolved.value, steps))
        if len(counts) > 20:
            return
        for ratio, count in sorted(counts.items(), reverse=True):
            share = 100 * count / len(steps)
            line = f'drop ratio {ratio:.2f}: {share:5.1f} % of iterations'
            if resolution is not None:
                tokens = resolution[0] * resolution[1] + prefix
                kept = keep_count(tokens, ratio, prefix, count_on)
                line += f', {kept} of {tokens} tokens'
            runner.logger.info(line)
