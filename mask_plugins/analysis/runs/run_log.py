# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The logs of a training run, as arrays."""

import os
from functools import cached_property
from typing import List, Optional, Tuple

import numpy as np

from mask_plugins.utils.checks import (
    PathLike,
    check_number,
    check_path,
    is_finite,
)
from mask_plugins.utils.files import read_json_lines

from .quick_log import MOST, QuickLog

TRAIN_LOG = 'train_log.json'
VAL_LOG = 'val_log.json'


class RunLog:
    """What ``TrainLogHook`` wrote into a work_dir.

    The logs of the original of PSS have the same keys and can be read, too. A
    run may be training, or have been killed: a last line that is cut is left
    out, and ``notes`` says so.

    Of a whole log as the hook writes it, a line is parsed when more of it is
    wanted than some columns.

    Args:
        folder (str | os.PathLike): The work_dir.
        name (str, optional): What pictures call the run; by default the name
            of the folder.

    Raises:
        FileNotFoundError: If there is no ``train_log.json``.
        ValueError: If another line is not JSON, or one lacks ``epoch`` or
            ``time``, or there is none.

    Examples:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> line = '{"epoch": 0, "time": 0.5, "loss": 2, "acc1": 90}'
        >>> log = pathlib.Path(folder.name, 'train_log.json')
        >>> _ = log.write_text(line)
        >>> RunLog(folder.name).column('loss')
        array([2.])
    """

    def __init__(self, folder: PathLike, name: Optional[str] = None) -> None:
        self.folder = folder = check_path('folder', folder)
        self.name = name or os.path.basename(os.path.abspath(folder))
        self.notes: List[str] = []
        path = os.path.join(folder, TRAIN_LOG)
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f'{folder} has no {TRAIN_LOG}: was it trained with '
                'mask_plugins.TrainLogHook?'
            )
        self._path = path
        self._quick = QuickLog.read(path)
        if self._quick is None and not self.train:
            raise ValueError(f'{path} has no whole line yet')
        path = os.path.join(folder, VAL_LOG)
        self.val: List[dict] = []
        if os.path.isfile(path):
            self.val = read_json_lines(path, self.notes.append)
            self._require(path, self.val, ('epoch',))

    @cached_property
    def train(self) -> List[dict]:
        """The lines of the train log."""
        lines = read_json_lines(self._path, self.notes.append)
        self._require(self._path, lines, ('epoch', 'time'))
        return lines

    @staticmethod
    def _require(path: str, records: List[dict], keys: Tuple) -> None:
        for number, record in enumerate(records, 1):
            for key in keys:
                value = record.get(key)
                # Greater ones, NaN and inf are not epochs nor seconds.
                if not isinstance(value, (int, float)) or not (
                    abs(value) < MOST
                ):
                    raise ValueError(
                        f'{path}, line {number}: {key!r} must be a number, '
                        f'got {value!r}; the line has {sorted(record)}'
                    )

    def column(self, key: str) -> np.ndarray:
        """A train scalar per iteration, NaN where it is missing."""
        found = None if self._quick is None else self._quick.column(key)
        return _column(self.train, key) if found is None else found

    def val_column(self, key: str) -> np.ndarray:
        """A metric per validation, NaN where it is missing."""
        return _column(self.val, key)

    @property
    def keys(self) -> List[str]:
        """What is in the logs; not every line has all."""
        lines = self.val + ([] if self._quick else self.train)
        known = [key for line in lines for key in line]
        known += self._quick.keys if self._quick else []
        return list(dict.fromkeys(known))

    def series(self, key: str) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Epochs, hours and values of a metric, where it was logged.

        Those of the validations, or else those of the training.
        """
        value = self.val_column(key)
        epoch, hours = self.val_epoch, self.val_hours
        if not np.isfinite(value).any():
            value, epoch, hours = self.column(key), self.epoch, self.hours
        known = np.isfinite(value)
        return epoch[known], hours[known], value[known]

    @property
    def iters_per_epoch(self) -> int:
        """Iterations of the longest epoch in the log."""
        epochs = self.column('epoch').astype(int)
        return int(np.unique(epochs, return_counts=True)[1].max())

    @property
    def epoch(self) -> np.ndarray:
        """Epochs trained after each iteration, with fractions."""
        epochs = self.column('epoch')
        first = int(epochs[0]) * self.iters_per_epoch
        done = first + np.arange(1, len(epochs) + 1)
        return done / self.iters_per_epoch

    @property
    def hours(self) -> np.ndarray:
        """Training time after each iteration, validations left out."""
        return np.nancumsum(self.column('time')) / 3600

    @property
    def val_epoch(self) -> np.ndarray:
        """Epochs trained at each validation."""
        done = self.val_column('iteration') / self.iters_per_epoch
        return np.where(np.isnan(done), self.val_column('epoch') + 1, done)

    @property
    def val_hours(self) -> np.ndarray:
        """Training time at each validation."""
        return np.interp(self.val_epoch, self.epoch, self.hours)


def _column(records: List[dict], key: str) -> np.ndarray:
    values = [record.get(key) for record in records]
    numbers = [
        value
        if isinstance(value, float)
        or (isinstance(value, int) and is_finite(value))
        else np.nan
        for value in values
    ]
    return np.array(numbers, dtype=float)


def smooth(values: np.ndarray, window: float) -> np.ndarray:
    """Exponential moving average, free of the bias of its start.

    Args:
        values (np.ndarray): One per iteration; NaN are skipped.
        window (float): Iterations that it averages over, about; 1 is off.

    Returns:
        np.ndarray: Of the same length.

    Examples:
        >>> smooth(np.array([1.0, 3.0]), window=2).round(3)
        array([1.   , 2.333])
    """
    check_number('window', window, 1)
    decay = 1 - 1 / window
    average, weight = 0.0, 0.0
    out = np.full(len(values), np.nan)
    for index, value in enumerate(values):
        if np.isfinite(value):
            average = decay * average + (1 - decay) * value
            weight = decay * weight + (1 - decay)
        if weight:
            out[index] = average / weight
    return out
