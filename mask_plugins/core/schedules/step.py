# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A staircase."""

from typing import Optional, Sequence, Union

from mask_plugins.utils.checked import checked
from mask_plugins.utils.checks import check_int, check_number

from .base import Schedule


class StepSchedule(Schedule):
    """From ``start`` to ``end`` in equal steps, one at each milestone.

    With m milestones, of which j have passed, the value is
    ``start + (end - start) * j / m``.

    Args:
        start (float): Value before the first milestone.
        end (float): Value from the last milestone on.
        milestones (Sequence[int | float]): Where the value steps, ascending:
            ints are iterations, floats in (0, 1) are shares of ``total``.
        **kwargs: See :class:`Schedule`.

    Raises:
        ValueError: If there is no milestone, they do not ascend, or a float
            is not in (0, 1).

    Examples:
        >>> schedule = StepSchedule(1.0, 0.0, milestones=[2, 0.5], total=8)
        >>> [schedule.value(t) for t in range(6)]
        [1.0, 1.0, 0.5, 0.5, 0.0, 0.0]
    """

    @checked
    def __init__(
        self,
        start: float,
        end: float,
        milestones: Sequence[Union[int, float]],
        **kwargs,
    ) -> None:
        super().__init__(start, end, **kwargs)
        if not milestones:
            raise ValueError(f'milestones must not be empty, got {milestones}')
        self.milestones = tuple(
            check_number('milestones given as shares of total', m, 0, 1, '()')
            if isinstance(m, float)
            else check_int('milestones', m)
            for m in milestones
        )
        if len({type(m) for m in milestones}) == 1:  # else not comparable yet
            self._check_order()

    def resolve(
        self, max_iters: int, iters_per_epoch: Optional[int] = None
    ) -> 'StepSchedule':
        """See :meth:`Schedule.resolve`."""
        resolved = super().resolve(max_iters, iters_per_epoch)
        resolved.milestones = resolved._in_iterations()
        resolved._check_order()
        return resolved

    def _in_iterations(self):
        return tuple(
            round(m * self.total) if isinstance(m, float) else m
            for m in self.milestones
        )

    def _check_order(self) -> None:
        if any(a >= b for a, b in zip(self.milestones, self.milestones[1:])):
            raise ValueError(f'milestones must ascend, got {self.milestones}')

    def progress(self, t: int) -> float:
        """See :meth:`Schedule.progress`."""
        passed = sum(t >= milestone for milestone in self._in_iterations())
        return passed / len(self.milestones)
