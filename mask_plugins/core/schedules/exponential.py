# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A geometric curve."""

import math

from mask_plugins.utils.checks import check_number

from .base import Schedule


class ExponentialSchedule(Schedule):
    r"""From ``start`` to ``end`` by a constant factor per iteration.

    .. math:: v(t) = s \, (e / s)^{t / T}

    Continuous Sparsification anneals its temperature like this (Savarese et
    al., arXiv:1912.04427, section 3).

    Args: see :class:`Schedule`. ``start`` and ``end``, with their plateaus,
        are above 0.

    Raises:
        ValueError: If ``start`` or ``end`` is not above 0.

    Examples:
        >>> schedule = ExponentialSchedule(1.0, 256.0, total=8)
        >>> [round(schedule.value(t), 6) for t in (0, 1, 4, 8)]
        [1.0, 2.0, 16.0, 256.0]
    """

    def __init__(self, start: float, end: float, **kwargs) -> None:
        super().__init__(start, end, **kwargs)
        plateau = f' with plateau={self.plateau!r}' * (self.plateau != 'none')
        for name, value in zip(('start', 'end'), self._extended()):
            what = f'{name} of an ExponentialSchedule{plateau}'
            check_number(what, value, low=0, ends='(]')

    def progress(self, t: int) -> float:
        """See :meth:`Schedule.progress`."""
        return t / self.total

    def mix(self, share: float, start: float, end: float) -> float:
        """See :meth:`Schedule.mix`."""
        return math.exp(math.log(start) + math.log(end / start) * share)
