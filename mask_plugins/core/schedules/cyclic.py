# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A triangle wave."""

from fractions import Fraction
from typing import Optional

from .base import Length, Schedule


class CyclicSchedule(Schedule):
    r"""From ``start`` to ``end`` and back, once every ``period``.

    With u = t mod I, the triangle's share of the way is

    .. math:: p = \min(u, I - u) / (I / 2)

    After ``total`` the value stays at ``end``.

    Args:
        start (float): Value at the start of each period.
        end (float): Value in the middle of each period.
        period (int | str, optional): Length of one cycle in iterations,
            ``'epoch'``, or None for one cycle over ``total``.
            Defaults to ``'epoch'``, as the PSS paper has it.
        **kwargs: See :class:`Schedule`.
    """

    def __init__(
        self, start: float, end: float, period: Length = 'epoch', **kwargs
    ) -> None:
        super().__init__(start, end, **kwargs)
        self.period = self._length('period', period)

    def _resolve(self, max_iters: int, iters_per_epoch: Optional[int]) -> None:
        super()._resolve(max_iters, iters_per_epoch)
        if self.period == 'epoch':
            self.period = self._epoch('period', iters_per_epoch)
        elif self.period is None:
            self.period = self.total

    @property
    def resolved(self) -> bool:
        """Whether total and period are iterations."""
        return super().resolved and isinstance(self.period, int)

    def _curve(self, t: int, start: Fraction, end: Fraction) -> Fraction:
        if t == self.total:
            return end
        return super()._curve(t, start, end)

    def _progress(self, t: int) -> Fraction:
        u = t % self.period
        return Fraction(2 * min(u, self.period - u), self.period)

    def _original_raw(self, t: int) -> float:
        if t > self.total - 1:
            return 0.0
        u = t % self.period
        half = self.period / 2
        p = (u if u <= self.period // 2 else self.period - u) / half
        return (1 - p) * self.start + p * self.end
