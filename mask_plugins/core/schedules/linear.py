# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A straight line."""

from fractions import Fraction

from .base import Schedule


class LinearSchedule(Schedule):
    r"""From ``start`` to ``end`` in a straight line over ``total``.

    .. math:: v(t) = (1 - t/T) \, s + (t/T) \, e

    Args: see :class:`Schedule`.
    """

    def _progress(self, t: int) -> Fraction:
        return Fraction(t, self.total)

    def _original_raw(self, t: int) -> float:
        # Not clamped: the original extrapolates past T.
        p = t / self.total
        return (1 - p) * self.start + p * self.end
