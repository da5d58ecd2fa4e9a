# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Checks of arguments: each returns the value or says what is allowed.

Errors name the argument, the value found and what is allowed. A bool is not a
number; NaN, infinity and ints beyond 64 bits, which no tensor holds, are
refused.
"""

import math
import os
from numbers import Integral, Real
from typing import Any, Collection, Optional, Sequence, Tuple, Union

PathLike = Union[str, os.PathLike]
MAX_SIZE = 2**31 - 1  # kernels index a dimension by 32 bits


def check_int(
    name: str,
    value: Any,
    low: Optional[int] = None,
    high: Optional[int] = None,
    optional: bool = False,
) -> Any:
    """``value`` as an int, if it is one in ``low..high``.

    Args:
        name (str): Name of the argument, for the error.
        value (Any): What was given.
        low (int, optional): Least value allowed. Defaults to None, no bound.
        high (int, optional): Greatest value allowed. Defaults to None.
        optional (bool): Whether None is allowed too. Defaults to False.

    Raises:
        TypeError: If it is not an int (a bool is not one).
        ValueError: If it is out of bounds, or of more than 64 bits.

    Examples:
        >>> check_int('max_iter', 3, low=1)
        3
        >>> check_int('max_iter', 0, low=1)
        Traceback (most recent call last):
        ...
        ValueError: max_iter must be an int of at least 1, got 0
    """
    if value is None and optional:
        return None
    allowed = 'an int' + _bounds(low, high, '[', ']')
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(_message(name, allowed, value, optional))
    if not _inside(value, low, high, '[', ']'):
        raise ValueError(_message(name, allowed, value, optional))
    if not fits_64_bits(value):
        allowed += ' and of at most 64 bits'
        raise ValueError(_message(name, allowed, value, optional))
    return int(value)


def check_size(
    name: str, value: Any, low: int = 1, optional: bool = False
) -> Any:
    """:func:`check_int` up to what a dimension or a number of parts can be.

    Beyond it nothing computes, but building it takes all memory first.

    Examples:
        >>> check_size('depth', 4)
        4
        >>> check_size('depth', 2**40)
        Traceback (most recent call last):
        ...
        ValueError: depth must be an int in [1, 2147483647], got 1099511627776
    """
    return check_int(name, value, low, MAX_SIZE, optional)


def check_number(
    name: str,
    value: Any,
    low: Optional[float] = None,
    high: Optional[float] = None,
    ends: str = '[]',
    optional: bool = False,
) -> Any:
    """``value`` as a float, if it is a finite number in ``low..high``.

    Args:
        name (str): Name of the argument, for the error.
        value (Any): What was given: an int, a float or a scalar of numpy.
        low (float, optional): Least value. Defaults to None, no bound.
        high (float, optional): Greatest value. Defaults to None, no bound.
        ends (str): ``'['`` or ``'('`` and ``']'`` or ``')'``: whether the
            bounds themselves are allowed. Defaults to ``'[]'``.
        optional (bool): Whether None is allowed too. Defaults to False.

    Raises:
        TypeError: If it is not a number (a bool is not one).
        ValueError: If it is NaN, infinite or out of bounds.

    Examples:
        >>> check_number('momentum', 1, low=0, high=1)
        1.0
        >>> check_number('drop_ratio', 1.0, low=0, high=1, ends='[)')
        Traceback (most recent call last):
        ...
        ValueError: drop_ratio must be a number in [0, 1), got 1.0
    """
    if value is None and optional:
        return None
    allowed = 'a number' + _bounds(low, high, *ends)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(_message(name, allowed, value, optional))
    if not is_finite(value):
        raise ValueError(_message(name, f'{allowed}, finite', value, optional))
    if not _inside(value, low, high, *ends):
        raise ValueError(_message(name, allowed, value, optional))
    return float(value)


def check_ratio(
    name: str, value: Any, ends: str = '[]', optional: bool = False
) -> Any:
    """:func:`check_number` between 0 and 1.

    Examples:
        >>> check_ratio('keep_ratio', 0.5, ends='(]')
        0.5
    """
    return check_number(name, value, 0, 1, ends, optional)


def check_choice(name: str, value: Any, allowed: Collection) -> Any:
    """``value``, if it is one of the allowed.

    Args:
        name (str): Name of the argument, for the error.
        value (Any): What was given.
        allowed (Collection): What is allowed.

    Raises:
        ValueError: If it is not one of them.

    Examples:
        >>> check_choice('reduction', 'mean', ('sum', 'mean'))
        'mean'
    """
    for choice in allowed:
        # 1 == True == 1.0, but only one of them is what was asked for.
        if type(choice) is type(value) and choice == value:
            return value
    raise ValueError(
        f'{name} must be one of {list(allowed)}, got {shown(value)}'
    )


def check_bool(name: str, value: Any) -> bool:
    """``value``, if it is True or False: ``'no'`` and 0 are neither.

    Raises:
        TypeError: If it is not a bool.

    Examples:
        >>> check_bool('enabled', True)
        True
    """
    if not isinstance(value, bool):
        raise TypeError(f'{name} must be True or False, got {shown(value)}')
    return value


def check_type(name: str, value: Any, kinds, allowed: str) -> Any:
    """``value``, if it is an instance of ``kinds``.

    Args:
        name (str): Name of the argument, for the error.
        value (Any): What was given.
        kinds (type | tuple[type]): As of ``isinstance``.
        allowed (str): What the error says is allowed, such as ``'a dict'``.

    Raises:
        TypeError: If it is not.

    Examples:
        >>> check_type('teacher', dict(), dict, 'a dict')
        {}
    """
    if not isinstance(value, kinds):
        raise TypeError(f'{name} must be {allowed}, got {shown(value)}')
    return value


def check_path(name: str, value: Any) -> str:
    """A path as a str, from a str or any ``os.PathLike``.

    Raises:
        TypeError: If it is neither.
        ValueError: If it is empty.

    Examples:
        >>> from pathlib import Path
        >>> check_path('checkpoint', Path('a') / 'b.pth')
        'a/b.pth'
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f'{name} must be a path, got {shown(value)}')
    path = os.fspath(value)
    if not isinstance(path, str) or not path:
        raise ValueError(f'{name} must be a path, got {shown(value)}')
    return path


def check_pair(
    name: str,
    value: Any,
    kind: type = int,
    low: Optional[float] = None,
    ascending: bool = False,
    single: bool = False,
) -> Tuple:
    """Two numbers as a tuple.

    Args:
        name (str): Name of the argument, for the error.
        value (Any): A sequence of two numbers.
        kind (type): ``int`` or ``float``. Defaults to ``int``.
        low (float, optional): Least value of each. Defaults to None.
        ascending (bool): Whether they are (least, greatest): the second must
            not be less than the first. Defaults to False.
        single (bool): Whether one number may stand for both. Defaults to
            False.

    Raises:
        TypeError: If they are not numbers of this kind.
        ValueError: If they are not two, out of bounds or not ascending.

    Examples:
        >>> check_pair('patch_size', 8, low=1, single=True)
        (8, 8)
    """
    check = check_int if kind is int else check_number
    if single and isinstance(value, Real) and not isinstance(value, bool):
        value = (value, value)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f'{name} must be two numbers, got {shown(value)}')
    if len(value) != 2:
        raise ValueError(f'{name} must be two numbers, got {shown(value)}')
    first, second = (check(name, v, low) for v in value)
    if ascending and first > second:
        raise ValueError(
            f'{name} must be (least, greatest), got {tuple(value)}'
        )
    return first, second


def shown(value: Any, most: int = 200) -> str:
    """What an error says of a value.

    Args:
        value (Any): Anything.
        most (int): Characters before the rest is left out. Defaults to 200.

    Examples:
        >>> shown('abc'), shown('abc' * 9, most=10)
        ("'abc'", "'abcabc...")
    """
    try:
        text = repr(value)
    except ValueError:  # Python writes no ints of more than 4,300 digits
        text = f'an int of {value.bit_length()} bits'
    return text if len(text) <= most else f'{text[: most - 3]}...'


def is_finite(value: Real) -> bool:
    """Whether a number has a finite float.

    Examples:
        >>> is_finite(2), is_finite(math.nan), is_finite(10**400)
        (True, False, False)
    """
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def fits_64_bits(value: Integral) -> bool:
    """Whether an int is one that tensors and seeds can have.

    Examples:
        >>> fits_64_bits(2**64 - 1), fits_64_bits(2**64)
        (True, False)
    """
    return -(2**63) <= value < 2**64


def _bounds(low, high, left: str, right: str) -> str:
    if low is None and high is None:
        return ''
    if high is None:
        return f' of at least {low}' if left == '[' else f' above {low}'
    if low is None:
        return f' of at most {high}' if right == ']' else f' below {high}'
    return f' in {left}{low}, {high}{right}'


def _inside(value, low, high, left: str, right: str) -> bool:
    above = low is None or (value >= low if left == '[' else value > low)
    below = high is None or (value <= high if right == ']' else value < high)
    return above and below


def _message(name: str, allowed: str, value: Any, optional: bool) -> str:
    none = ' or None' if optional else ''
    return f'{name} must be {allowed}{none}, got {shown(value)}'
