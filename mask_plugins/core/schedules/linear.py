# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A straight line."""

from .base import Schedule


class LinearSchedule(Schedule):
    r"""From ``start`` to ``end`` in a straight line over ``total``.

    .. math:: v(t) = (1 - t/T) \, s + (t/T) \, e

    Args: see :class:`Schedule`.

    Examples:
        >>> schedule = LinearSchedule(0.8, 0.0, total=4)
        >>> [schedule.value(t) for t in range(6)]
        [0.8, 0.6, 0.4, 0.2, 0.0, 0.0]
    """

    def progress(self, t: int) -> float:
        """See :meth:`Schedule.progress`."""
        return t / self.total
