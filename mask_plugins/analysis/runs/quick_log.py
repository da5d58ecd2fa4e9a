# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Columns of a log without parsing all of it, for thousands of runs."""

import json
import re
from typing import List, NamedTuple, Optional

import numpy as np

# Beyond it, floats of epochs and seconds are no longer exact.
MOST = 2.0**53
_FIRST = '{"epoch": '
_KEY = re.compile(r'"([^"\\]+)": ')


class QuickLog(NamedTuple):
    r"""A log whose lines all begin and end as ``TrainLogHook`` writes them.

    Args:
        path (str): The file.
        epoch, time (np.ndarray): Of each line.

    Examples:
        >>> import tempfile
        >>> file = tempfile.NamedTemporaryFile()
        >>> _ = file.write(b'{"epoch": 0, "loss": 2.0, "time": 0.5}\n')
        >>> file.flush()
        >>> log = QuickLog.read(file.name)
        >>> log.time, log.column('loss')
        (array([0.5]), array([2.]))
    """

    path: str
    epoch: np.ndarray
    time: np.ndarray

    @classmethod
    def read(cls, path: str) -> Optional['QuickLog']:
        """The log, None if it has to be parsed line by line."""
        text = _read(path)
        count = text.count('\n')
        if (
            not text.startswith(_FIRST)
            or not text.endswith('}\n')
            or text.count('}\n' + _FIRST) != count - 1
        ):
            return None
        try:
            json.loads(text[text.rfind('\n', 0, -1) + 1 :])
        except ValueError:
            return None
        epoch, time = (_column(text, key, count) for key in ('epoch', 'time'))
        if epoch is None or time is None:
            return None
        if not (np.abs([epoch, time]) < MOST).all():  # nor NaN
            return None
        return cls(path, epoch, time)

    @property
    def keys(self) -> List[str]:
        """What its lines have."""
        return list(dict.fromkeys(_KEY.findall(_read(self.path))))

    def column(self, key: str) -> Optional[np.ndarray]:
        """A scalar of each line, None if not all lines have it."""
        if key in ('epoch', 'time'):
            return getattr(self, key)
        return _column(_read(self.path), key, len(self.epoch))


def _read(path: str) -> str:
    with open(path, encoding='latin-1', newline='') as file:
        return file.read()


def _column(text: str, key: str, count: int) -> Optional[np.ndarray]:
    """The values of a key, if each line has one number or null of it."""
    parts = text.split(f'{json.dumps(key)}: ')[1:]
    if len(parts) < count or len(parts) != text.count('\n'):
        return None
    values = [x.partition(',')[0].partition('}')[0] for x in parts[:count]]
    try:
        return np.array(
            [float('nan' if value == 'null' else value) for value in values]
        )
    except ValueError:
        return None
