# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A log file with one JSON object per line."""

import json
import math
import os
import weakref
from pathlib import Path
from typing import Any, Callable, List, Union

from .atomic_backend import AtomicLocalBackend
from .disk_space import is_full


class JsonLines:
    """Append JSON objects to a file, several at a time.

    What a crash leaves in the buffer is written when the process ends; what
    a kill leaves is lost, and a line cut in half by it is dropped by
    :meth:`cut`.

    Args:
        path (str | Path): The file.
        interval (int): Lines that are held back at most.
    """

    def __init__(self, path: Union[str, Path], interval: int) -> None:
        self.path = Path(path)
        self.interval = interval
        self._lines: List[str] = []
        weakref.finalize(self, _write, self._lines, self.path)

    def append(self, **values: Any) -> None:
        """Add a line; NaN and infinities, which JSON has not, become null."""
        plain = {key: _finite(value) for key, value in values.items()}
        self._lines.append(json.dumps(plain, allow_nan=False) + '\n')
        if len(self._lines) >= self.interval:
            self.flush()

    def flush(self, sync: bool = False) -> None:
        """Write what is held back.

        Where there is no room, the lines are held back further, so that a
        log misses none once there is room again.

        Args:
            sync (bool): Wait until it is on the disk. Defaults to False.

        Raises:
            OSError: If that fails, with ``sync`` also for want of room.
        """
        try:
            _write(self._lines, self.path, sync)
        except OSError as error:
            if sync or not is_full(error):
                raise

    def cut(self, keep: Callable[[dict], bool]) -> int:
        """Drop lines, and whatever is no line, in one atomic step.

        Args:
            keep (Callable): Given a line's object, whether it stays.

        Returns:
            int: How many lines were dropped.
        """
        if not self.path.exists():
            return 0
        text = self.path.read_text(encoding='utf-8', errors='replace')
        lines = text.splitlines(keepends=True)
        kept = [line for line in lines if _whole(line, keep)]
        if len(kept) < len(lines):
            AtomicLocalBackend().put_text(''.join(kept), self.path)
        return len(lines) - len(kept)

    def put_aside(self, stamp: str) -> str:
        """Rename a file of an earlier run, so that nothing is lost.

        Args:
            stamp (str): Goes into the name: ``<stem>.<stamp>.json``.

        Returns:
            str: The new name, or '' if there was nothing to keep.
        """
        if not self.path.exists() or self.path.stat().st_size == 0:
            return ''
        new = self.path.with_suffix(f'.{stamp}{self.path.suffix}')
        number = 1
        while new.exists():
            number += 1
            name = f'.{stamp}-{number}{self.path.suffix}'
            new = self.path.with_suffix(name)
        os.replace(self.path, new)
        return new.name


def _write(lines: List[str], path: Path, sync: bool = False) -> None:
    if not lines:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'ab', buffering=0) as file:
        size = file.tell()
        data = memoryview(''.join(lines).encode())
        try:
            while data:
                data = data[file.write(data) :]
            if sync:
                os.fsync(file.fileno())
        except OSError:
            file.truncate(size)  # all of the lines, or none
            raise
        lines.clear()


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _whole(line: str, keep: Callable[[dict], bool]) -> bool:
    """Whether a line was written to its end and is to be kept."""
    try:
        value = json.loads(line)
    except ValueError:
        return False
    return line.endswith('\n') and isinstance(value, dict) and keep(value)
