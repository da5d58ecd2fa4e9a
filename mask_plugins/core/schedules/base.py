# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What all schedules share: range, lengths, rounding."""

import copy
from typing import Optional, Tuple, Union

from mask_plugins.utils.checks import check_choice, check_int, check_number

from .quantum import quantize

Length = Union[int, str, None]


class Schedule:
    """A value that moves from ``start`` to ``end``, as a pure function of t.

    ``t`` is the global iteration, from 0. It is clamped to ``[0, total]``, so
    the value stays at ``end`` afterwards. A subclass defines
    :meth:`progress`, the share of the way at ``t``.

    A config needs no iteration counts: ``total`` and ``period`` may be left
    to :meth:`resolve`, which the hook calls with the train loop's.

    Args:
        start (float): Value at t = 0.
        end (float): Value at t = ``total``.
        total (int | str, optional): Length in iterations, ``'epoch'`` for
            the length of one epoch, or None for the whole run less
            ``cooldown``. Defaults to None.
        quantum (float, optional): Round the value to multiples of this; 0 or
            None is off. PSS rounds to 0.2. Defaults to 0.
        plateau (str): Which ends become levels as wide as those between them.
            Rounding gives the two extreme levels half a width each.
            ``'end'`` widens the last, ``'both'`` both, ``'none'`` neither.
            Needs ``quantum``. Defaults to ``'none'``.
        cooldown (int): Epochs at the end of the run over which the value
            stays at ``end``. Defaults to 0.

    Raises:
        TypeError: If a number is not one, or a length is neither an int,
            ``'epoch'`` nor None.
        ValueError: If a number is not finite, a length is below 1,
            ``quantum`` or ``cooldown`` is negative, or ``plateau`` is set
            without ``quantum``.

    Examples:
        >>> from mask_plugins.core.schedules import LinearSchedule
        >>> schedule = LinearSchedule(0.8, 0.0, quantum=0.2).resolve(8)
        >>> [schedule.value(t) for t in range(9)]
        [0.8, 0.8, 0.6, 0.4, 0.4, 0.4, 0.2, 0.0, 0.0]
    """

    PLATEAUS = ('none', 'end', 'both')
    LENGTHS: Tuple[str, ...] = ('total',)

    def __init__(
        self,
        start: float,
        end: float,
        total: Length = None,
        quantum: Optional[float] = 0.0,
        plateau: str = 'none',
        cooldown: int = 0,
    ) -> None:
        self.start = check_number('start', start)
        self.end = check_number('end', end)
        self.total = self._length('total', total)
        self.quantum = check_number(
            'quantum', 0 if quantum is None else quantum, low=0
        )
        self.plateau = check_choice('plateau', plateau, self.PLATEAUS)
        if plateau != 'none' and not self.quantum:
            raise ValueError(
                f'plateau={plateau!r} widens rounded levels and so needs '
                f'quantum > 0, got quantum={quantum!r}'
            )
        self.cooldown = check_int('cooldown', cooldown, low=0)

    @property
    def bounds(self) -> Tuple[float, float]:
        """The least and the greatest value."""
        return min(self.start, self.end), max(self.start, self.end)

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

        Raises:
            ValueError: If a length is below 1, the length of an epoch is
                needed but not given, or ``cooldown`` leaves nothing.
        """
        check_int('max_iters', max_iters, low=1)
        check_int('iters_per_epoch', iters_per_epoch, low=1, optional=True)
        resolved = copy.copy(self)
        cooldown = 0 if self.total else self.cooldown
        lengths = {name: getattr(self, name) for name in self.LENGTHS}
        in_epochs = cooldown or 'epoch' in lengths.values()
        if in_epochs and iters_per_epoch is None:
            raise ValueError(f'iters_per_epoch is not known, for {self!r}')
        length = max_iters - cooldown * (iters_per_epoch or 0)
        if length < 1:
            raise ValueError(
                f'cooldown={cooldown} epochs of {iters_per_epoch} iterations '
                f'leave nothing of a run of {max_iters}'
            )
        for name, given in lengths.items():
            # Without a length of its own it has that of the one before.
            length = iters_per_epoch if given == 'epoch' else given or length
            setattr(resolved, name, length)
        return resolved

    @property
    def resolved(self) -> bool:
        """Whether all lengths are iterations, so that ``value`` works."""
        return all(isinstance(getattr(self, n), int) for n in self.LENGTHS)

    # -------------------------------------------------------------- value
    def value(self, t: int) -> float:
        """The value at iteration ``t``.

        Args:
            t (int): Global iteration, from 0.

        Raises:
            ValueError: If ``t`` is negative or a length is not resolved.
        """
        if not self.resolved:
            raise ValueError(
                f'{self!r} still has lengths to resolve: give iterations, or '
                'call resolve(max_iters, iters_per_epoch) as ScheduleHook does'
            )
        if t < 0:
            raise ValueError(f't must not be negative, got {t}')
        if self.start == self.end:
            return quantize(self.start, self.quantum)
        low, high = self.bounds
        start, end = self._extended()
        share = self.progress(min(t, self.total))
        if share in (0, 1):  # an exponential meets its ends up to rounding
            value = end if share else start
        else:
            value = self.mix(share, start, end)
        return min(max(quantize(value, self.quantum), low), high)

    def progress(self, t: int) -> float:
        """The share of the way from start to end at ``0 <= t <= total``."""
        raise NotImplementedError

    def mix(self, share: float, start: float, end: float) -> float:
        """The value at a share of the way."""
        return (1 - share) * start + share * end

    def _extended(self) -> Tuple[float, float]:
        """The range with its plateaus: half a quantum beyond the ends."""
        half = self.quantum / 2 * (1 if self.end > self.start else -1)
        start = self.start - half * (self.plateau == 'both')
        return start, self.end + half * (self.plateau != 'none')

    @staticmethod
    def _length(name: str, value: Length) -> Length:
        if value is None or value == 'epoch':
            return value
        if isinstance(value, str):
            raise TypeError(
                f"{name} must be an int (iterations), 'epoch' or None, got "
                f'{value!r}'
            )
        return check_int(name, value, low=1)

    def __repr__(self) -> str:
        values = ', '.join(f'{k}={v!r}' for k, v in vars(self).items())
        return f'{type(self).__name__}({values})'
