# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""JSON in, JSON and text out. Files appear whole or not at all."""

import json
import math
import os
from typing import Any, Callable, Iterable, List, Optional


def read_json(path: str) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not JSON; the message names file and line.
    """
    with _open(path) as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise ValueError(f'{path} is not JSON: {error}') from error


def read_json_lines(
    path: str, on_cut: Optional[Callable[[str], Any]] = None
) -> List[dict]:
    """Read a file that has one JSON object per line.

    Args:
        path (str): The file.
        on_cut (Callable, optional): For a file that is still being written,
            or whose writer was killed: called with a note where the last
            line is cut, which is then left out, even if it is the only one.
            Defaults to None: such a line is an error.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it has no line, or one is not a JSON object; the
            message names file and line.
    """
    records = []
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                hint = ''
                if not line.endswith('\n'):
                    if on_cut is not None:
                        on_cut(
                            f'{path}, line {number} is cut, and left out: '
                            'the run was killed, or is still writing'
                        )
                        return records
                    hint = ' (a run that was killed while writing?)'
                raise ValueError(
                    f'{path}, line {number} is not JSON{hint}: '
                    f'{line.strip()[:60]!r}: {error}'
                ) from error
            if not isinstance(record, dict):
                raise ValueError(
                    f'{path}, line {number} must be a JSON object, got '
                    f'{line.strip()[:60]!r}'
                )
            records.append(record)
    if not records:
        raise ValueError(f'{path} is empty')
    return records


def write_json(path: str, value: Any) -> str:
    """Write one JSON value."""
    return write_text(path, _dumps(value) + '\n')


def write_json_lines(path: str, records: Iterable[dict]) -> str:
    """Write one JSON object per line."""
    return write_text(path, ''.join(_dumps(r) + '\n' for r in records))


def write_text(path: str, text: str) -> str:
    """Write a text file through a temporary one beside it.

    Returns:
        str: ``path``.
    """
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    part = f'{path}.part'
    try:
        with open(part, 'w', encoding='utf-8') as file:
            file.write(text)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)
    return path


def _dumps(value: Any) -> str:
    """As JSON; NaN and infinities, which JSON has not, become null."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _open(path: str):
    if not os.path.isfile(path):
        raise FileNotFoundError(f'there is no file {path}')
    return open(path, encoding='utf-8')
