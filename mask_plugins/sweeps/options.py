# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Settings of a config as text: dotted keys, values that survive a shell."""

import difflib
import re
from typing import Any, Dict, List

from mmengine.config import Config

from mask_plugins.analysis.cli import parse_options
from mask_plugins.apis.config_keys import unread_keys, walk
from mask_plugins.utils.checks import check_number, check_type

# Before a key that the config does not have yet.
NEW = '+'
PLAIN = (bool, int, float, str, type(None))
# A dotted key, which may be NEW.
KEY = re.compile(r'\+?\w[\w-]*(\.[\w-]+)*')
# What a folder or file of ours may be called: never hidden, '.' or '..'.
NAME = re.compile(r'\w[\w.+-]*')


def check_name(name: str, value: Any) -> str:
    """``value``, if it is fit for a folder or a file.

    Raises:
        ValueError: If it is not.

    Examples:
        >>> check_name('name', 'lr-0.1_seed-0')
        'lr-0.1_seed-0'
        >>> check_name('name', '..')  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: name must be letters, digits, ... got '..'
    """
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError(
            f'{name} must be letters, digits, and any of . + - _, and begin '
            f'with a letter or digit, got {value!r}'
        )
    return value


def parse_values(text: str) -> List[Any]:
    """Read ``'0.3,0.5'`` or ``'[1,2],[3,4]'``: values with commas between.

    Args:
        text (str): The values, each as ``--cfg-options`` has it.

    Raises:
        ValueError: If one is empty, or brackets or quotes do not match.

    Examples:
        >>> parse_values('0.3,[1,2],relu')
        [0.3, [1, 2], 'relu']
    """
    values: List[Any] = []
    quotes = sum(text.count(quote) for quote in '\'"')
    if not quotes % 2 and not text.rstrip().endswith(','):
        try:
            values = parse_options([f'x=[{text}]'])['x']
        except AssertionError:  # mmengine's, about brackets
            pass
    if not values or '' in values:
        raise ValueError(
            'values must be joined by commas, lists in brackets, such as '
            f'0.3,0.5 or [1,2],[3,4]; got {text!r}'
        )
    return values


def parse_assignment(text: str) -> Dict[str, List[Any]]:
    """Read ``'model.rate=0.3,0.5'``.

    Raises:
        ValueError: If there is no key or no value.

    Examples:
        >>> parse_assignment('optim_wrapper.optimizer.lr=1e-3,5e-4')
        {'optim_wrapper.optimizer.lr': [0.001, 0.0005]}
    """
    key, equals, values = text.partition('=')
    if not equals or not key.strip():
        raise ValueError(f'expected KEY=VALUE[,VALUE...], got {text!r}')
    return {key.strip(): parse_values(values)}


def format_option(key: str, value: Any) -> str:
    """``KEY=VALUE`` as ``tools/train.py --cfg-options`` reads it.

    Raises:
        ValueError: If no text would be read as this value.

    Examples:
        >>> format_option('model.strides', [1, 2])
        'model.strides=[1,2]'
    """
    text = f'{key}={_format(value)}'
    found = parse_options([text])[key]
    # repr: 1, 1.0 and True are equal in Python.
    if repr(found) != repr(value):
        raise ValueError(
            f'{key}: {value!r} cannot be given on a command line, where it '
            f'is read as {found!r}'
        )
    return text


def format_options(overrides: Dict[str, Any]) -> List[str]:
    """All of them, in their order."""
    return [format_option(key, value) for key, value in overrides.items()]


def _format(value: Any) -> str:
    if isinstance(value, list):
        return '[' + ','.join(_format(item) for item in value) + ']'
    return str(value)


def check_settings(name: str, value: Any) -> Dict[str, Any]:
    """``value``, if it maps dotted keys to what a command line can give.

    Raises:
        ValueError: If a key is not a dotted one.
        TypeError: If it is not a dict, or a value is not a number, text,
            bool, None or a list of these; it names the key.

    Examples:
        >>> check_settings('base', {'train_cfg.max_epochs': 3})
        {'train_cfg.max_epochs': 3}
    """
    check_type(name, value, dict, 'a map of dotted keys to values')
    for key, setting in value.items():
        if not isinstance(key, str) or not KEY.fullmatch(key):
            raise ValueError(f'{name}: {key!r} is not a dotted key')
        _check_value(key, setting)
    return value


def _check_value(key: str, value: Any, depth: int = 0) -> None:
    if isinstance(value, list) and depth < 8:  # YAML may nest without end
        for item in value:
            _check_value(key, item, depth + 1)
    else:
        allowed = 'a number, text, true, false, null or a list of these'
        check_type(f'{key}: a value', value, PLAIN, allowed)
        if isinstance(value, float):
            check_number(f'{key}: a value', value)


def apply_overrides(cfg: Config, overrides: Dict[str, Any]) -> Config:
    """A copy of a config with settings changed.

    Args:
        cfg (Config): The config.
        overrides (dict): Dotted keys; numbers are indices of lists. A key
            that is new must begin with ``+``.

    Raises:
        ValueError: If the config has no such key, or nothing reads it; it
            names near ones.
    """
    known = [key for key in overrides if not key.startswith(NEW)]
    there = dict(walk(cfg.to_dict()))
    for key in known:
        if key not in there:
            near = ', '.join(difflib.get_close_matches(key, there, n=3))
            raise ValueError(
                f'{key!r} is not in the config; near keys: {near or "none"}. '
                'A misspelt key would be ignored; if it is a new one, write '
                f'{NEW}{key}'
            )
    for unread in unread_keys(cfg, known):
        raise ValueError(f'{unread.text}. All runs would be the same')
    if 'work_dir' in without_marks(overrides):
        raise ValueError('work_dir: each run of a sweep has its own')
    copy = Config(cfg.to_dict())
    copy.merge_from_dict(without_marks(overrides), allow_list_keys=True)
    return copy


def without_marks(overrides: Dict[str, Any]) -> Dict[str, Any]:
    """The same settings, as ``--cfg-options`` has them."""
    return {key.lstrip(NEW): value for key, value in overrides.items()}
