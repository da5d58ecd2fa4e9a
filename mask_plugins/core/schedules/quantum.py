# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Rounding of a schedule's value to a grid."""

from mask_plugins.utils.checks import check_number

# A value this close to the middle of two levels (in half levels) is a tie:
# a float may miss the exact middle on either side.
TIE_TOLERANCE = 1e-9


def quantize(value: float, quantum: float) -> float:
    """Round to the nearest multiple of ``quantum``, ties to the even one.

    Args:
        value (float): What to round.
        quantum (float): The grid; 0 leaves ``value`` as it is.

    Returns:
        float: ``k * quantum`` with an integer k, as the decimal that it looks
        like: 0.6, not 0.6000000000000001.

    Examples:
        >>> [quantize(x, 0.2) for x in (0.1, 0.3, 0.55)]
        [0.0, 0.4, 0.6]
    """
    check_number('value', value)
    check_number('quantum', quantum, 0)
    if quantum:
        doubled = round(
            check_number('2 * value / quantum', 2 * value / quantum)
        )
        steps = value / quantum
        if doubled % 2 and abs(2 * steps - doubled) < TIE_TOLERANCE:
            steps = doubled / 2
        value = round(steps) * quantum
    return float(f'{value:.15g}')
