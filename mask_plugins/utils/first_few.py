# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Long lists in short messages."""

from typing import Sequence


def first_few(
    items: Sequence[str], separator: str = ', ', count: int = 4
) -> str:
    """The first items of a list as text, and how many more there are.

    Args:
        items (Sequence[str]): The list.
        separator (str): Between items. Defaults to ``', '``.
        count (int): How many are named. Defaults to 4.

    Examples:
        >>> first_few(['a', 'b', 'c'], count=2)
        'a, b and 1 more'
    """
    more = f' and {len(items) - count} more' if len(items) > count else ''
    return separator.join(items[:count]) + more
