# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Rounding of a schedule's value to a grid."""

from fractions import Fraction
from typing import Union

Number = Union[int, float, Fraction]

# Cosine and exponential values are irrational, so their ties cannot be exact.
# Values this close to a tie are taken as the tie; half-even then decides.
TIE_TOLERANCE = Fraction(1, 10**9)


def exact(value: Number) -> Fraction:
    """The decimal that a float is written as: ``0.8`` is 4/5, not 0.8000...4.

    Args:
        value (int | float | Fraction): A finite number.

    Returns:
        Fraction: The shortest decimal that reads back as ``value``.
    """
    return value if isinstance(value, Fraction) else Fraction(str(value))


def quantize(value: Number, quantum: Number) -> Fraction:
    """Round to the nearest multiple of ``quantum``, ties to the even one.

    Args:
        value (int | float | Fraction): What to round.
        quantum (int | float | Fraction): The grid; 0 leaves ``value`` alone.

    Returns:
        Fraction: ``k * quantum`` with an integer k.
    """
    value, quantum = exact(value), exact(quantum)
    if not quantum:
        return value
    steps = value / quantum
    doubled = round(2 * steps)
    if doubled % 2 and abs(2 * steps - doubled) < TIE_TOLERANCE:
        steps = Fraction(doubled, 2)
    return round(steps) * quantum
