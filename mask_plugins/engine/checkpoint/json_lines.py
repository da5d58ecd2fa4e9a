# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A log file with one JSON object per line."""

import json
import os
import time
import weakref
from pathlib import Path
from typing import Any, List

from mask_plugins.utils.checks import PathLike
from mask_plugins.utils.files import replace_atomically, to_json

from .disk_space import is_full


class JsonLines:
    """Append JSON objects to a file, several at a time.

    Lines in the buffer are written when the process ends. A kill loses them,
    and :meth:`cut` drops a line that it cut in half.

    Args:
        path (str | PathLike): The file.
        interval (int): Most lines to hold back.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = JsonLines(f'{folder}/log.json', interval=1)
        ...     log.append(iteration=0, loss=0.5)
        ...     print(log.path.read_text(), end='')
        {"iteration": 0, "loss": 0.5}
    """

    def __init__(self, path: PathLike, interval: int) -> None:
        self.path = Path(path)
        self.interval = interval
        self._lines: List[str] = []
        weakref.finalize(self, _write, self._lines, self.path)

    def append(self, **values: Any) -> None:
        """Add a line; NaN and infinities, which JSON lacks, become null."""
        self._lines.append(to_json(values) + '\n')
        if len(self._lines) >= self.interval:
            self.flush()

    def flush(self, sync: bool = False) -> None:
        """Write the buffer.

        Without room on the disk the lines stay in the buffer, so that a log
        is complete once there is room again.

        Args:
            sync (bool): Wait until it is on the disk. Defaults to False.

        Raises:
            OSError: If that fails; a full disk counts only with ``sync``.
        """
        try:
            _write(self._lines, self.path, sync)
        except OSError as error:
            if sync or not is_full(error):
                raise

    def cut(self, epoch: int, iteration: int) -> int:
        """Drop lines, and whatever is not a line, in one atomic step.

        The file is read line by line: a long one takes no more memory.
        An epoch may have had another length: what it logged is kept.

        Args:
            epoch (int): All lines before this epoch stay.
            iteration (int): All lines before this iteration stay.

        Returns:
            int: How many lines were dropped.
        """
        if not self.path.exists():
            return 0
        with open(self.path, 'rb') as file:
            lines = enumerate(file)
            ends = (i for i, x in lines if not _is_kept(x, epoch, iteration))
            first = next(ends, None)
        if first is None:
            return 0
        dropped = 0
        with replace_atomically(self.path) as part, open(
            part, 'wb'
        ) as kept, open(self.path, 'rb') as file:
            for number, line in enumerate(file):
                if number < first or _is_kept(line, epoch, iteration):
                    kept.write(line)
                else:
                    dropped += 1
        return dropped

    def put_aside(self) -> str:
        """Rename a file of an earlier run to ``<stem>.<when it ended>.json``.

        Returns:
            str: The new name, or '' if there was nothing to keep.
        """
        if not self.path.exists() or self.path.stat().st_size == 0:
            return ''
        ended = time.localtime(self.path.stat().st_mtime)
        stamp, number = time.strftime('%Y%m%d_%H%M%S', ended), 1
        new = self.path.with_suffix(f'.{stamp}{self.path.suffix}')
        while new.exists():
            number += 1
            new = self.path.with_suffix(f'.{stamp}-{number}{self.path.suffix}')
        os.replace(self.path, new)
        return new.name


def _write(lines: List[str], path: Path, sync: bool = False) -> None:
    if not lines:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'ab', buffering=0, opener=_open_own) as file:
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


def _open_own(path: str, flags: int) -> int:
    """Open a file of the run: not what a link or a pipe leads to."""
    if os.path.islink(path) or os.path.exists(path) > os.path.isfile(path):
        raise OSError(f'{path} is a link or a device: it is not written to')
    return os.open(path, flags | getattr(os, 'O_NOFOLLOW', 0), 0o666)


def _is_kept(line: bytes, epoch: int, iteration: int) -> bool:
    """Whether a line was written to its end and is to be kept."""
    try:
        value = json.loads(line)
        before = value['epoch'] < epoch or value['iteration'] < iteration
        return line.endswith(b'\n') and before
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
