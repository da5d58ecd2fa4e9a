# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""JSON in, JSON and text out. Files appear whole or not at all."""

import contextlib
import glob
import json
import math
import os
from typing import Any, Callable, Iterable, Iterator, List, Optional, Union

from .checks import PathLike, check_path

# Part of the name of a file that is still being written.
_TEMPORARY = '.mask_plugins-tmp'


@contextlib.contextmanager
def replace_atomically(path: PathLike) -> Iterator[str]:
    """Write a file under another name, then rename it, which is atomic.

    Nothing is left of a write that fails, and the old file stays. What a
    killed process leaves is found by :func:`remove_leftovers`.

    Args:
        path (str | PathLike): The file; its folder is created if missing.

    Yields:
        str: The name to write to, in the same folder.

    Raises:
        OSError: If the file cannot be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replace_atomically(f'{folder}/a.txt') as part:
        ...         _ = open(part, 'w').write('whole')
        ...     print(os.listdir(folder))
        ['a.txt']
    """
    path = check_path('path', path)
    folder, name = os.path.split(os.path.abspath(path))
    part = f'{folder}/.{name}.{os.getpid()}{_TEMPORARY}'
    try:
        os.makedirs(folder, exist_ok=True)
        yield part
        _sync(part)
        os.replace(part, path)
    except OSError as error:
        raise OSError(
            error.errno,
            f'could not write {path} ({error.strerror}); what was there '
            'before is untouched',
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(part)
    # Not every file system can make the rename itself durable.
    with contextlib.suppress(OSError):
        _sync(folder)


def write_atomically(path: PathLike, content: Union[str, bytes]) -> str:
    """Write a file by :func:`replace_atomically`.

    Args:
        path (str | PathLike): The file; its folder is created if missing.
        content (str | bytes): Text is encoded as UTF-8.

    Returns:
        str: ``path``.

    Raises:
        OSError: If the file cannot be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_atomically(f'{folder}/new/a.txt', 'text')
        ...     print(open(path).read())
        text
    """
    if isinstance(content, str):
        content = content.encode()
    with replace_atomically(path) as part, open(part, 'wb') as file:
        file.write(content)
    return os.fspath(path)


def remove_leftovers(folder: PathLike) -> List[str]:
    """Remove the temporary files of killed writers.

    Args:
        folder (str | PathLike): Where to look; it need not exist.

    Returns:
        list[str]: The files that were removed.

    Examples:
        >>> remove_leftovers('a/folder/that/does/not/exist')
        []
    """
    pattern = f'{glob.escape(os.fspath(folder))}/.*{_TEMPORARY}*'
    found = sorted(path for path in glob.glob(pattern) if os.path.isfile(path))
    for path in found:
        os.remove(path)
    return found


def read_json(path: str) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not JSON; the message names file and line.
    """
    with _open(path) as file:
        try:
            return json.load(file)
        except (ValueError, RecursionError) as error:
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
    with _open(path, errors='surrogateescape') as file:
        for number, line in enumerate(file, 1):
            where, text = f'{path}, line {number}', line.strip()[:60]
            if not text:
                continue
            try:
                line.encode()  # raises if it was not UTF-8
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                cut = not line.endswith('\n')
                if cut and on_cut is not None:
                    on_cut(
                        f'{where} is cut, and left out: the run was '
                        'killed, or is still writing'
                    )
                    return records
                hint = ' (a run that was killed while writing?)' if cut else ''
                raise ValueError(
                    f'{where} is not JSON{hint}: {text!a}: {error}'
                ) from error
            if not isinstance(record, dict):
                raise ValueError(
                    f'{where} must be a JSON object, got {text!r}'
                )
            records.append(record)
    if not records:
        raise ValueError(f'{path} is empty')
    return records


def write_json(path: str, value: Any) -> str:
    """Write one JSON value."""
    return write_atomically(path, to_json(value) + '\n')


def write_json_lines(path: str, records: Iterable[dict]) -> str:
    """Write one JSON object per line."""
    return write_atomically(path, ''.join(to_json(r) + '\n' for r in records))


def to_json(value: Any) -> str:
    """JSON in one line; NaN and infinities, which it lacks, become null.

    Examples:
        >>> to_json(dict(loss=float('nan'), lr=(1, 0.5)))
        '{"loss": null, "lr": [1, 0.5]}'
    """
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _open(path: str, errors: str = 'strict'):
    if not os.path.isfile(path):
        raise FileNotFoundError(f'file not found: {path}')
    return open(path, encoding='utf-8', errors=errors)


def _sync(path: str) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
