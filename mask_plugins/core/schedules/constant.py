# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A constant value."""

from typing import Optional

from .base import Schedule


class ConstantSchedule(Schedule):
    """The same value throughout ("Fixed" in the PSS paper).

    Args:
        start (float): The value.
        end (float, optional): The same value again, so that a config can
            swap ``type`` alone. Defaults to None, that is ``start``.
        **kwargs: See :class:`Schedule`.

    Raises:
        ValueError: If ``end`` differs from ``start``.

    Examples:
        >>> ConstantSchedule(0.4).value(1000)
        0.4
    """

    LENGTHS = ()

    def __init__(
        self, start: float, end: Optional[float] = None, **kwargs
    ) -> None:
        if end is not None and end != start:
            raise ValueError(
                f'ConstantSchedule stays at start={start!r}, but end={end!r}; '
                'use LinearSchedule for a value that moves'
            )
        super().__init__(start, start, **kwargs)
