# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A value that stays."""

from fractions import Fraction
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
    """

    def __init__(
        self, start: float, end: Optional[float] = None, **kwargs
    ) -> None:
        if end is not None and end != start:
            raise ValueError(
                f'ConstantSchedule stays at start={start!r}, but end={end!r}; '
                'use LinearSchedule for a value that moves'
            )
        super().__init__(start, start, **kwargs)

    @property
    def resolved(self) -> bool:
        """Always: no length plays a part, except in the original's sum."""
        return not self.parity or super().resolved

    def _progress(self, t: int) -> Fraction:
        return Fraction(0)

    def _original_raw(self, t: int) -> float:
        # The original's "fixed" is its linear schedule with equal ends.
        p = t / self.total
        return (1 - p) * self.start + p * self.end
