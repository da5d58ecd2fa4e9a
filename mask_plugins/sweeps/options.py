# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Settings of a config as text: dotted keys, values that survive a shell."""

import difflib
from typing import Any, Dict, List, Sequence

from mmengine.config import Config

from mask_plugins.analysis.cli import parse_options

# Before a key that the config does not have yet.
NEW = '+'
PLAIN = (bool, int, float, str, type(None))


def parse_values(text: str) -> List[Any]:
    """Read ``'0.3,0.5'`` or ``'[1,2],[3,4]'``: values with commas between.

    Args:
        text (str): The values, each as ``--cfg-options`` has it.

    Raises:
        ValueError: If one is empty, or brackets or quotes do not match.
    """
    parts, depth, quote = [''], 0, ''
    for letter in text:
        if quote:
            quote = '' if letter == quote else quote
        elif letter in '\'"':
            quote = letter
        elif letter in '[(':
            depth += 1
        elif letter in '])':
            depth -= 1
        elif letter == ',' and depth == 0:
            parts.append('')
            continue
        parts[-1] += letter
    if depth or quote or not all(part.strip() for part in parts):
        raise ValueError(
            'values must be joined by commas, lists in brackets, such as '
            f'0.3,0.5 or [1,2],[3,4]; got {text!r}'
        )
    return [parse_options([f'x={part.strip()}'])['x'] for part in parts]


def parse_assignment(text: str) -> Dict[str, List[Any]]:
    """Read ``'model.rate=0.3,0.5'``.

    Raises:
        ValueError: If there is no key or no value.
    """
    key, equals, values = text.partition('=')
    if not equals or not key.strip():
        raise ValueError(f'expected KEY=VALUE[,VALUE...], got {text!r}')
    return {key.strip(): parse_values(values)}


def format_option(key: str, value: Any) -> str:
    """``KEY=VALUE`` as ``tools/train.py --cfg-options`` reads it.

    Raises:
        ValueError: If no text would be read as this value.
    """
    text = f'{key}={_format(value)}'
    # json: 1, 1.0 and True are equal in Python.
    if repr(parse_options([text])[key]) != repr(value):
        raise ValueError(
            f'{key}: {value!r} cannot be given on a command line (it would '
            f'be read as {parse_options([text])[key]!r})'
        )
    return text


def format_options(overrides: Dict[str, Any]) -> List[str]:
    """All of them, in their order."""
    return [format_option(key, value) for key, value in overrides.items()]


def _format(value: Any) -> str:
    if isinstance(value, list):
        return '[' + ','.join(_format(item) for item in value) + ']'
    return str(value)


def check_value(key: str, value: Any) -> None:
    """Raise unless it is a number, text, None, or a list of these.

    Raises:
        TypeError: If it is something else; it names the key.
    """
    if isinstance(value, list):
        for item in value:
            check_value(key, item)
    elif not isinstance(value, PLAIN):
        raise TypeError(
            f'{key}: a value must be a number, text, true, false, null or a '
            f'list of these, got {value!r} ({type(value).__name__})'
        )


def apply_overrides(cfg: Config, overrides: Dict[str, Any]) -> Config:
    """A copy of a config with settings changed.

    Args:
        cfg (Config): The config.
        overrides (dict): Dotted keys; numbers are indices of lists. A key
            that is new must begin with ``+``.

    Raises:
        ValueError: If the config has no such key; it names near ones.
    """
    for key in overrides:
        if not key.startswith(NEW):
            _check_key(cfg, key)
    copy = Config(cfg.to_dict())
    copy.merge_from_dict(without_marks(overrides), allow_list_keys=True)
    return copy


def without_marks(overrides: Dict[str, Any]) -> Dict[str, Any]:
    """The same settings, as ``--cfg-options`` has them."""
    return {key.lstrip(NEW): value for key, value in overrides.items()}


def _check_key(cfg: Config, key: str) -> None:
    here: Any = cfg
    walked: List[str] = []
    for part in key.split('.'):
        if isinstance(here, (list, tuple)):
            known = [str(i) for i in range(len(here))]
        else:
            known = list(here) if hasattr(here, 'keys') else []
        if part not in known:
            place = '.'.join(walked) or 'the config'
            raise ValueError(
                f'{key!r} is not in the config: {place} has '
                f'{_known(part, known)}. A misspelt key would be ignored; if '
                f'it is meant to be a new one, write {NEW}{key}'
            )
        here = here[int(part) if isinstance(here, (list, tuple)) else part]
        walked.append(part)


def _known(part: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(part, known, n=1)
    if near:
        return f'{near[0]!r}'
    return f'only {list(known)}' if known else 'no keys below it'
