# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Checks of numbers that a config gives, with errors that name them."""

from collections.abc import Sequence

INF = float('inf')


def check_number(name, value, kind, low=-INF, high=INF):
    """``value``, if it is a number of this kind in low..high.

    Args:
        name (str): Of the argument.
        value (Any): What was given.
        kind (type): ``int`` or ``numbers.Real``.
        low (float): Least. Defaults to no bound.
        high (float): Greatest. Defaults to no bound.

    Raises:
        TypeError: If it is no such number.
        ValueError: If it is out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, kind):
        what = 'an int' if kind is int else 'a number'
        raise TypeError(f'{name} must be {what}, got {value!r}')
    if not low <= value <= high:
        bounds = f'in [{low}, {high}]' if high < INF else f'at least {low}'
        raise ValueError(f'{name} must be {bounds}, got {value!r}')
    return value


def check_pair(name, value, kind, low=-INF):
    """Two such numbers, as a tuple.

    Raises:
        TypeError, ValueError: As :func:`check_number`, and if they are not
            two.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f'{name} must be two numbers, got {value!r}')
    if len(value) != 2:
        raise ValueError(f'{name} must be two numbers, got {value!r}')
    return tuple(check_number(name, v, kind, low) for v in value)


def check_range(name, value, kind, low=-INF):
    """Least and greatest, as a tuple.

    Raises:
        TypeError, ValueError: As :func:`check_pair`, and if they are not in
            this order.
    """
    least, greatest = check_pair(name, value, kind, low)
    if least > greatest:
        raise ValueError(
            f'{name} must be (least, greatest), got {tuple(value)}'
        )
    return least, greatest
