# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Times as SLURM writes them."""

import re
from typing import Union


def parse_time(value: Union[int, float, str]) -> float:
    """Seconds of a number (seconds), or of a text as ``sbatch --time`` has it.

    Args:
        value (int | float | str): ``5400``, or ``'90'`` (minutes),
            ``'90:00'``, ``'1:30:00'``, ``'0-1:30'``, ``'1-0'``.

    Raises:
        ValueError: If it is none of these, or negative.

    Examples:
        >>> parse_time('1:50:00'), parse_time('1-0'), parse_time(1.5)
        (6600.0, 86400.0, 1.5)
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if 0 <= value < float('inf'):
            return float(value)
    time = r'(?:([0-9]+)-)?([0-9]+(?::[0-9]+){0,2})'
    match = isinstance(value, str) and re.fullmatch(time, value.strip())
    if not match:
        raise ValueError(
            'a time must be a number of seconds or a text as sbatch --time has'
            f" it ('90' minutes, '1:30:00', '2-12:00'), got {value!r}"
        )
    fields = [int(field) for field in match[2].split(':')]
    if match[1] is not None:  # hours[:minutes[:seconds]]
        fields += [0] * (3 - len(fields))
    elif len(fields) == 1:  # minutes
        fields.append(0)
    hours, minutes, seconds = [0] * (3 - len(fields)) + fields
    hours += 24 * int(match[1] or 0)
    return float((hours * 60 + minutes) * 60 + seconds)


def format_time(seconds: float) -> str:
    """Seconds as SLURM writes them.

    Examples:
        >>> format_time(5403), format_time(90000)
        ('1:30:03', '1-01:00:00')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    text = f'{hour}:{minute:02}:{second:02}'
    return f'{days}-{hour:02}:{minute:02}:{second:02}' if days else text
