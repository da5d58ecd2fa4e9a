# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What all schedules share: range, length, rounding, errors."""

import copy
import math
from fractions import Fraction
from typing import Optional, Union

from .quantum import exact, quantize

Length = Union[int, str, None]


class Schedule:
    """A value that moves from ``start`` to ``end``, as a pure function of t.

    ``t`` is the global iteration, from 0. It is clamped to ``[0, total]``, so
    the value stays at ``end`` afterwards; and the value is computed with exact
    fractions where the curve is rational, so it has no floating-point ties.

    Lengths need no iteration counts in a config: ``total`` and ``period`` may
    be left to :meth:`resolve`, which the hook calls with the train loop's.

    Args:
        start (float): Value at t = 0.
        end (float): Value at t = ``total``.
        total (int | str, optional): Length in iterations, ``'epoch'`` for
            the length of one epoch, or None for the whole run less
            ``cooldown``. Defaults to None.
        quantum (float, optional): Round the value to multiples of this; 0 or
            None is off. The original of PSS rounds to 0.2. Defaults to 0.
        plateau (str): Which ends become levels as wide as those between them.
            Rounding gives the two extreme levels half a width each.
            ``'end'`` widens the last, ``'both'`` both, ``'none'`` neither.
            Needs ``quantum``. Defaults to ``'none'``.
        cooldown (int): Epochs at the end of the run over which the value
            stays at ``end``. Defaults to 0.
        parity (bool): Reproduce the original of PSS (McDanel & Huynh,
            arXiv:2208.09520) to the last bit: its float expressions and their
            ties, its clip to [0, 1], and its overshoot past ``total``.
            Defaults to False.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range.
    """

    PLATEAUS = ('none', 'end', 'both')

    def __init__(
        self,
        start: float,
        end: float,
        total: Length = None,
        quantum: Optional[float] = 0.0,
        plateau: str = 'none',
        cooldown: int = 0,
        parity: bool = False,
    ) -> None:
        self.start = self._number('start', start)
        self.end = self._number('end', end)
        self.total = self._length('total', total)
        self.quantum = self._number('quantum', quantum or 0.0)
        if self.quantum < 0:
            raise ValueError(f'quantum must not be negative, got {quantum!r}')
        if plateau not in self.PLATEAUS:
            raise ValueError(
                f'plateau must be one of {self.PLATEAUS}, got {plateau!r}'
            )
        if plateau != 'none' and not self.quantum:
            raise ValueError(
                f'plateau={plateau!r} widens rounded levels and so needs '
                f'quantum > 0, got quantum={quantum!r}'
            )
        if plateau != 'none' and parity:
            raise ValueError(
                f'plateau={plateau!r} is not in the original; with '
                'parity=True write end=-0.1 as it does'
            )
        self.plateau = plateau
        if not isinstance(cooldown, int) or isinstance(cooldown, bool):
            raise TypeError(
                f'cooldown must be an int (epochs), got {cooldown!r}'
            )
        if cooldown < 0:
            raise ValueError(
                f'cooldown must not be negative (epochs), got {cooldown}'
            )
        self.cooldown = cooldown
        self.parity = parity

    # ---------------------------------------------------------- resolving
    def resolve(
        self, max_iters: int, iters_per_epoch: Optional[int] = None
    ) -> 'Schedule':
        """A copy whose lengths are all iterations.

        Args:
            max_iters (int): Iterations of the whole run.
            iters_per_epoch (int, optional): Iterations of one epoch; needed
                for ``'epoch'`` and ``cooldown``. Defaults to None.

        Returns:
            Schedule: Ready for :meth:`value`.
        """
        for name, number in (
            ('max_iters', max_iters),
            ('iters_per_epoch', iters_per_epoch),
        ):
            if number is not None and number < 1:
                raise ValueError(f'{name} must be at least 1, got {number}')
        resolved = copy.copy(self)
        resolved._resolve(max_iters, iters_per_epoch)
        return resolved

    def _resolve(self, max_iters: int, iters_per_epoch: Optional[int]) -> None:
        if self.total == 'epoch':
            self.total = self._epoch('total', iters_per_epoch)
        elif self.total is None:
            cooldown = 0
            if self.cooldown:
                epoch = self._epoch('cooldown', iters_per_epoch)
                cooldown = self.cooldown * epoch
            self.total = max_iters - cooldown
            if self.total < 1:
                raise ValueError(
                    f'cooldown={self.cooldown} epochs ({cooldown} iterations) '
                    f'leaves nothing of a run of {max_iters} iterations'
                )

    @staticmethod
    def _epoch(name: str, iters_per_epoch: Optional[int]) -> int:
        if iters_per_epoch is None:
            raise ValueError(
                f'{name} is given in epochs, but iters_per_epoch is not known'
            )
        return iters_per_epoch

    @property
    def resolved(self) -> bool:
        """Whether all lengths are iterations, so that ``value`` works."""
        return isinstance(self.total, int)

    # -------------------------------------------------------------- value
    def value(self, t: int) -> float:
        """The value at iteration ``t``.

        Args:
            t (int): Global iteration, from 0.

        Returns:
            float: The scheduled value.
        """
        if not self.resolved:
            raise ValueError(
                f'{self!r} still has lengths to resolve: give iterations, or '
                'call resolve(max_iters, iters_per_epoch) as ScheduleHook does'
            )
        if t < 0:
            raise ValueError(f't must not be negative, got {t}')
        if self.parity:
            return self._original(t)
        if self.start == self.end:
            return float(quantize(self.start, self.quantum))
        low, high = self._extended()
        start, end = exact(self.start), exact(self.end)
        raw = self._curve(min(t, self.total), low, high)
        level = quantize(raw, self.quantum)
        level = min(max(level, min(start, end)), max(start, end))
        return float(level)

    def _extended(self):
        """The range with its plateaus: half a quantum beyond the ends."""
        start, end = exact(self.start), exact(self.end)
        half = exact(self.quantum) / 2 * (1 if end > start else -1)
        if self.plateau == 'both':
            start -= half
        if self.plateau != 'none':
            end += half
        return start, end

    def _curve(self, t: int, start: Fraction, end: Fraction) -> Fraction:
        """The curve without rounding; ``0 <= t <= total``."""
        return self._mix(self._progress(t), start, end)

    def _progress(self, t: int) -> Fraction:
        """The share of the way from start to end, 0 to 1."""
        raise NotImplementedError

    @staticmethod
    def _mix(p: Fraction, start: Fraction, end: Fraction) -> Fraction:
        return (1 - p) * start + p * end

    # ------------------------------------------------------------- parity
    def _original(self, t: int) -> float:
        return self._original_round(self._original_raw(t))

    def _original_raw(self, t: int) -> float:
        raise ValueError(
            f'parity=True: the original has no {type(self).__name__}'
        )

    def _original_round(self, raw: float) -> float:
        raw = min(max(raw, 0.0), 1.0)
        if not self.quantum:
            return raw
        levels = 1 / self.quantum  # the original's 5, for 0.2
        return round(raw * levels) / levels

    # -------------------------------------------------------------- checks
    @staticmethod
    def _number(name: str, value: float) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(
                f'{name} must be a number, got {value!r} '
                f'({type(value).__name__})'
            )
        if not math.isfinite(value):
            raise ValueError(f'{name} must be finite, got {value!r}')
        return value

    @staticmethod
    def _length(name: str, value: Length) -> Length:
        if value is None or value == 'epoch':
            return value
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(
                f"{name} must be an int (iterations), 'epoch' or None, got "
                f'{value!r}'
            )
        if value < 1:
            raise ValueError(
                f'{name} must be at least 1 iteration, got {value}'
            )
        return value

    def __repr__(self) -> str:
        values = ', '.join(f'{k}={v!r}' for k, v in vars(self).items())
        return f'{type(self).__name__}({values})'
