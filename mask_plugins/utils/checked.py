# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Whatever a constructor does not check itself is checked by its annotations.

A function's own checks come first, because they say more.
"""

import functools
import inspect
import re
import typing
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Callable, Dict, Optional

from .checks import MAX_SIZE, fits_64_bits, is_finite, shown

_PLAIN = (bool, int, float, str, bytes, list, tuple, dict, type(None))
_TYPES = {
    bool: lambda value: type(value).__name__ in ('bool', 'bool_'),
    int: lambda value: _is_number(value, Integral) and not _is_huge(value),
    float: lambda value: _is_number(value, Real) and is_finite(value),
    dict: lambda value: isinstance(value, Mapping) or _is_object(value),
    inspect.Parameter.empty: lambda value: True,
    Any: lambda value: True,
}
# Arguments that are built: beyond MAX_SIZE they only take memory and time. An
# interval or a seed may be any number.
_SIZES = re.compile(
    r'args|num_\w+|(\w+_)?(channels|classes|depth|dims?|features|heads'
    r'|iterations|kernel|layers|len|length|multi|num|patches|sizes?|width)'
)
# These say what they mean, whatever the arguments are.
_CLEAR = (ImportError, NotImplementedError, OSError, Warning)


def checked(function: Callable, bases: Sequence[type] = ()) -> Callable:
    """Make errors of a call name the argument that does not fit.

    An argument that is not of its annotation is an error even if the function
    takes it: a bool is not a number, NaN and infinity are not floats, a text
    is neither a number nor a flag. Sizes, also those in a config that is an
    argument, are bounded before anything is built.

    Args:
        function (Callable): A function or an ``__init__`` with annotations.
        bases (Sequence[type]): Whose ``__init__`` says what numbers and flags
            among its ``**kwargs`` are. Defaults to ().

    Returns:
        Callable: The same, checked.

    Examples:
        >>> @checked
        ... def drop(ratio: float, exact: bool = False):
        ...     return 1 / ratio
        >>> drop(0.5)
        2.0
        >>> drop(True)
        Traceback (most recent call last):
        ...
        TypeError: ratio must be of the type float, got True
        >>> drop(0)
        Traceback (most recent call last):
        ...
        ValueError: drop(ratio=0): division by zero
    """
    hints: Dict[str, Any] = {}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not hints:
            for base in (*reversed(bases), None):
                own = base is None
                found = _hints(function if own else base.__init__)
                hints.update(
                    (name, hint if own else Optional[hint])
                    for name, hint in found.items()
                    if own or hint in _PLAIN[:3]
                )
        given = _given(function, args, kwargs)
        # First: a loop over one of these would never end.
        _raise_misfit({k: v for k, v in given.items() if _is_huge(v)}, hints)
        for name, value in given.items():
            _check_sizes(name, value)
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            text = str(error.args[0] if error.args else error)
            named = given.keys() & set(re.findall(r'\w+', text))
            if isinstance(error, _CLEAR):
                raise
            unnamed = {k: v for k, v in given.items() if k not in named}
            _raise_misfit(unnamed, hints, error)
            if named and isinstance(error, (KeyError, TypeError, ValueError)):
                raise
            kind = TypeError if isinstance(error, TypeError) else ValueError
            text = text if named else f'{_call(function, given)}: {text}'
            raise kind(text) from error
        _raise_misfit(given, hints)
        return result

    return call


def _hints(function: Callable) -> Dict[str, Any]:
    try:
        return typing.get_type_hints(function) or {'': Any}
    except (NameError, TypeError):  # names that are imported for a checker
        return {'': Any}


def _given(function: Callable, args: tuple, kwargs: dict) -> Dict[str, Any]:
    """Name -> value of each argument, without ``self``."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError:  # the call itself is wrong, and Python says how
        return {}
    parameters = inspect.signature(function).parameters
    given = {}
    for name, value in bound.items():
        if parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            given.update(value)
        elif name != 'self':
            given[name] = value
    return given


def _raise_misfit(
    given: Dict[str, Any],
    hints: Dict[str, Any],
    cause: Optional[BaseException] = None,
) -> None:
    for name, value in given.items():
        if name in hints and not _fits(value, hints[name]):
            hint = inspect.formatannotation(hints[name]).replace('typing.', '')
            kind, more = TypeError, ''
            if isinstance(value, float):
                kind, more = ValueError, ' and finite'
            elif _is_huge(value):
                kind, more = ValueError, ' and of at most 64 bits'
            raise kind(
                f'{name} must be of the type {hint}{more}, got {_short(value)}'
            ) from cause


def _check_sizes(path: str, value: Any) -> None:
    """Raise if something of this name, or inside it, is too large a size."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            _check_sizes(f'{path}.{key}', part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _check_sizes(path, part)
    elif _is_number(value, Integral) and abs(value) > MAX_SIZE:
        if _SIZES.fullmatch(path.rpartition('.')[2]):
            raise ValueError(
                f'{path} must be an int of at most {MAX_SIZE}, got '
                f'{_short(value)}'
            )


def _fits(value: Any, hint: Any) -> bool:
    if hint in _TYPES:
        return _TYPES[hint](value)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        return any(_fits(value, part) for part in parts)
    if origin in (list, tuple, Sequence):
        if isinstance(value, (str, bytes, Mapping, *_PLAIN[:3], type(None))):
            # One item may stand for a list of it.
            return bool(parts) and _fits(value, parts[0])
        whole = parts and (origin is not tuple or parts[-1] is Ellipsis)
        return (
            not whole
            or not isinstance(value, (list, tuple))
            or all(_fits(item, parts[0]) for item in value)
        )
    if origin in (dict, Mapping):
        return isinstance(value, Mapping)
    if inspect.isclass(hint):
        return isinstance(value, hint) or _is_object(value)
    return True


def _is_object(value: Any) -> bool:
    """Whether it is neither plain nor empty, such as a module."""
    return not isinstance(value, _PLAIN)


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_huge(value: Any) -> bool:
    return _is_number(value, Integral) and not fits_64_bits(value)


def _call(function: Callable, given: Dict[str, Any]) -> str:
    """The call, as a reader would write it."""
    name = function.__qualname__.replace('.__init__', '').rpartition('.')[2]
    shown = (f'{key}={_short(value)}' for key, value in given.items())
    return f'{name}({", ".join(shown)})'


def _short(value: Any) -> str:
    if isinstance(value, _PLAIN):
        return shown(value, most=60)
    return f'a {type(value).__name__}'[:60]
