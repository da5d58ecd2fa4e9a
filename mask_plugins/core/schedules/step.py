# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A staircase."""

from fractions import Fraction
from typing import Optional, Sequence, Union

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
        ValueError: If there is no milestone, or they do not ascend.
    """

    def __init__(
        self,
        start: float,
        end: float,
        milestones: Sequence[Union[int, float]],
        **kwargs,
    ) -> None:
        super().__init__(start, end, **kwargs)
        milestones = tuple(milestones)
        if not milestones:
            raise ValueError('milestones must not be empty, got ()')
        for milestone in milestones:
            self._number('milestones', milestone)
            if isinstance(milestone, float) and not 0 < milestone < 1:
                raise ValueError(
                    'milestones are ints (iterations) or floats in (0, 1) '
                    f'(shares of total), got {milestone!r}'
                )
        self.milestones = milestones
        self._check_order(milestones)

    def _resolve(self, max_iters: int, iters_per_epoch: Optional[int]) -> None:
        super()._resolve(max_iters, iters_per_epoch)
        self.milestones = self._in_iterations()
        self._check_order(self.milestones)

    def _in_iterations(self):
        return tuple(
            round(m * self.total) if isinstance(m, float) else m
            for m in self.milestones
        )

    @staticmethod
    def _check_order(milestones) -> None:
        if len({type(m) for m in milestones}) == 1 and any(
            a >= b for a, b in zip(milestones, milestones[1:])
        ):
            raise ValueError(f'milestones must ascend, got {milestones}')

    def _progress(self, t: int) -> Fraction:
        passed = sum(t >= milestone for milestone in self._in_iterations())
        return Fraction(passed, len(self.milestones))
