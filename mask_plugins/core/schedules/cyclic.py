# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A triangle wave."""

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
            Defaults to ``'epoch'``, as in the PSS paper.
        **kwargs: See :class:`Schedule`.

    Examples:
        >>> schedule = CyclicSchedule(0.8, 0.0, period=4, total=100)
        >>> [schedule.value(t) for t in range(6)]
        [0.8, 0.4, 0.0, 0.4, 0.8, 0.4]
    """

    LENGTHS = ('total', 'period')

    def __init__(
        self, start: float, end: float, period: Length = 'epoch', **kwargs
    ) -> None:
        super().__init__(start, end, **kwargs)
        self.period = self._length('period', period)

    def progress(self, t: int) -> float:
        """See :meth:`Schedule.progress`."""
        if t == self.total:
            return 1.0
        u = t % self.period
        return 2 * min(u, self.period - u) / self.period
