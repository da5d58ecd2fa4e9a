# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Asynchronous successive halving, as functions of what was reported."""

from typing import List, Sequence


def rungs(first: int, reduction: int, epochs: int) -> List[int]:
    """The epochs after which trials are compared.

    Args:
        first (int): The first of them.
        reduction (int): The factor from one to the next.
        epochs (int): Length of a trial; there is nothing to end at its end.

    Examples:
        >>> rungs(1, 3, 30)
        [1, 3, 9, 27]
    """
    found = []
    while first < epochs:
        found.append(first)
        first *= reduction
    return found


def continues(
    value: float, others: Sequence[float], reduction: int, direction: str
) -> bool:
    """Whether a trial continues beyond a rung.

    It does among the best of those that have come there so far: one of
    ``reduction``, and the best where there are fewer.

    Args:
        value (float): Of the trial.
        others (Sequence[float]): Of the other trials at this rung.
        reduction (int): Of so many trials one continues.
        direction (str): 'maximize' or 'minimize'.

    Examples:
        >>> continues(90.0, [], 3, 'maximize')
        True
        >>> continues(80.0, [90.0, 85.0, 70.0, 60.0, 50.0], 3, 'maximize')
        False
        >>> continues(0.3, [0.5, 0.4], 3, 'minimize')
        True
    """
    values = sorted([value, *others], reverse=direction == 'maximize')
    last = values[max(1, len(values) // reduction) - 1]
    return value >= last if direction == 'maximize' else value <= last
