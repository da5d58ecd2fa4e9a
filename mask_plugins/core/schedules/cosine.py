# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Half a cosine."""

import math
from fractions import Fraction

from .base import Schedule


class CosineSchedule(Schedule):
    r"""From ``start`` to ``end`` along half a cosine over ``total``.

    .. math:: v(t) = e + \tfrac12 (s - e) (1 + \cos(\pi t / T))

    Args: see :class:`Schedule`.
    """

    def _progress(self, t: int) -> Fraction:
        if t == self.total:
            return Fraction(1)
        return (1 - Fraction(math.cos(math.pi * t / self.total))) / 2

    def _original_raw(self, t: int) -> float:
        if t == 0:
            return self.start
        if t >= self.total - 1:
            return self.end
        cosine = 1 + math.cos(math.pi * t / self.total)
        return self.end + (self.start - self.end) * cosine / 2
