# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Half a cosine."""

import math

from .base import Schedule


class CosineSchedule(Schedule):
    r"""From ``start`` to ``end`` along half a cosine over ``total``.

    .. math:: v(t) = e + \tfrac12 (s - e) (1 + \cos(\pi t / T))

    Args: see :class:`Schedule`.

    Examples:
        >>> schedule = CosineSchedule(1.0, 0.0, total=4)
        >>> [round(schedule.value(t), 3) for t in range(5)]
        [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    def progress(self, t: int) -> float:
        """See :meth:`Schedule.progress`."""
        return (1 - math.cos(math.pi * t / self.total)) / 2
