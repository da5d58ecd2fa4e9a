# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A setting that a search chooses."""

from typing import Any, List, NamedTuple, Optional, Tuple

from mask_plugins.utils.checks import check_bool, check_number

_RANGE = ('low', 'high', 'log', 'step')


class Axis(NamedTuple):
    """A range of numbers, or a list to choose from.

    Args:
        key (str): Dotted key of the config.
        low (int | float, optional): Least value.
        high (int | float, optional): Greatest value; of a range of ints, it
            is one too.
        log (bool): Whether the logarithm is drawn. Defaults to False.
        step (int | float, optional): Distance of the values.
        choices (tuple): The values, where there is no range.

    Examples:
        >>> Axis.parse('optim_wrapper.optimizer.lr', dict(low=1e-4, high=1e-2,
        ...     log=True)).ends()
        [0.0001, 0.01]
        >>> Axis.parse('model.k', [3, 5, 7]).ends()
        [3, 5, 7]
    """

    key: str
    low: Optional[float] = None
    high: Optional[float] = None
    log: bool = False
    step: Optional[float] = None
    choices: Tuple[Any, ...] = ()

    @classmethod
    def parse(cls, key: str, value: Any) -> 'Axis':
        """Read an entry of ``space``.

        Raises:
            ValueError: If it is neither a range nor a list of values.
            TypeError: If a number is none.
        """
        name = f'space.{key}'
        if isinstance(value, list) and value:
            wrong = [v for v in value if isinstance(v, (list, dict))]
            if wrong:
                raise ValueError(f'{name}: {wrong[0]!r} is no single value')
            return cls(key, choices=tuple(value))
        known = isinstance(value, dict) and set(value) <= set(_RANGE)
        if not known or 'low' not in value or 'high' not in value:
            raise ValueError(
                f'{name} must be a list of values, or a map with low, high '
                f'and perhaps log and step, got {value!r}'
            )
        low = check_number(f'{name}.low', value['low'])
        high = check_number(f'{name}.high', value['high'], low=low)
        log = check_bool(f'{name}.log', value.get('log', False))
        step = check_number(
            f'{name}.step', value.get('step'), low=0, ends='(]', optional=True
        )
        if log and (low <= 0 or step is not None):
            raise ValueError(f'{name}: log needs low > 0, and has no step')
        if isinstance(step, float) and cls(key, low, high).is_int:
            raise ValueError(f'{name}: a range of ints needs an int as step')
        return cls(key, low, high, log, step)

    @property
    def is_int(self) -> bool:
        """Whether ints are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def ends(self) -> List[Any]:
        """Values to try on a config: the ends of the range, or all."""
        return list(self.choices) or [self.low, self.high]

    def suggest(self, trial: Any) -> Any:
        """Have a trial of optuna draw a value, or say the one it has."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        options = dict(log=self.log)
        if self.is_int:
            step = self.step or 1
            return trial.suggest_int(
                self.key, self.low, self.high, step=step, **options
            )
        low, high = float(self.low), float(self.high)
        return trial.suggest_float(
            self.key, low, high, step=self.step, **options
        )

    def to_json(self) -> Any:
        """As a sweep file has it."""
        if self.choices:
            return list(self.choices)
        found = {key: getattr(self, key) for key in _RANGE}
        return {k: v for k, v in found.items() if v not in (None, False)}
