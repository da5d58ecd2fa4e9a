# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A geometric curve."""

import math
from fractions import Fraction

from .base import Schedule


class ExponentialSchedule(Schedule):
    r"""From ``start`` to ``end`` by a constant factor per iteration.

    .. math:: v(t) = s \, (e / s)^{t / T}

    Continuous Sparsification anneals its temperature so (Savarese et al.,
    arXiv:1912.04427, section 3).

    Args: see :class:`Schedule`. ``start`` and ``end`` are above 0.

    Raises:
        ValueError: If ``start`` or ``end`` is not above 0.
    """

    def __init__(self, start: float, end: float, **kwargs) -> None:
        super().__init__(start, end, **kwargs)
        for name, value in (('start', start), ('end', end)):
            if value <= 0:
                raise ValueError(
                    f'{name} of an ExponentialSchedule must be above 0, got '
                    f'{value!r}'
                )

    def _curve(self, t: int, start: Fraction, end: Fraction) -> Fraction:
        if t in (0, self.total):
            return start if t == 0 else end
        if start <= 0 or end <= 0:
            raise ValueError(
                f'plateau={self.plateau!r} extends the range to '
                f'[{float(start)}, {float(end)}]; an ExponentialSchedule '
                'needs both above 0'
            )
        return Fraction(
            math.exp(math.log(start) + math.log(end / start) * t / self.total)
        )
