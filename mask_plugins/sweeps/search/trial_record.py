# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Who trains a trial? A file that is there before the training is."""

import contextlib
import os
import os.path as osp
import time
import uuid
from typing import Any, Dict, Optional, Tuple

from mask_plugins.utils.files import read_json, write_json
from mask_plugins.utils.process_id import is_alive, process_id

FOLDER = 'trials'
# Seconds between two signs of life, and without one until it counts as gone.
# Only what cannot be seen from here, on another node, is judged by them.
BEAT, PATIENCE = 10, 120


class TrialRecord:
    """The record of one trial: its run folder and the worker that has it.

    Args:
        folder (str): The folder of the search.
        number (int): The trial.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     record = TrialRecord(folder, 3)
        ...     record.claim('trial-0003', dict(lr=0.1))
        ...     print(TrialRecord(folder, 3).is_free(), record.is_mine())
        ...     record.release()
        ...     print(TrialRecord(folder, 3).is_free())
        False True
        True
    """

    def __init__(self, folder: str, number: int) -> None:
        self.path = osp.join(folder, FOLDER, f'{number:04}.json')
        self._token = ''
        self._seen: Optional[Tuple[float, float]] = None

    def claim(self, run: str, params: Dict[str, Any]) -> None:
        """Write that this process has it; the caller holds the lock.

        Args:
            run (str): Name of the run's folder in ``runs``.
            params (dict): What was drawn, for people to read.
        """
        self._token = uuid.uuid4().hex
        worker = dict(process_id(), slurm=_slurm(), token=self._token)
        write_json(self.path, dict(run=run, params=params, worker=worker))

    def release(self) -> None:
        """Let the next worker have it, if it is still this one's."""
        if self.is_mine():
            content = self._read()
            write_json(self.path, {**content, 'worker': None})

    def is_mine(self) -> bool:
        """Whether no other worker has taken it over; gives a sign of life."""
        with contextlib.suppress(OSError):
            os.utime(self.path)
        worker = self._read().get('worker') or {}
        return worker.get('token') == self._token

    def is_free(self) -> Optional[bool]:
        """Whether no worker has it; None if that is not known yet.

        A worker of this machine is looked up; the SLURM task that was put
        back into the queue is known to be gone. Of others their sign of life
        counts: it is looked at again and again.
        """
        worker = self._read().get('worker')
        if not isinstance(worker, dict):
            return True
        mine, its = _slurm(), worker.get('slurm')
        if mine and isinstance(its, dict) and its.get('job') == mine['job']:
            if its.get('restart') != mine['restart']:
                return True  # a former attempt of this task
        alive = is_alive(worker)
        if alive is not None:
            return not alive
        return self._is_silent()

    def _is_silent(self) -> Optional[bool]:
        try:
            beat = os.stat(self.path).st_mtime
        except FileNotFoundError:
            return True
        now = time.monotonic()
        if self._seen is None:
            self._seen = beat, now
        if self._seen[0] != beat:
            return False
        # On the clock of this process: those of nodes differ.
        return True if now - self._seen[1] > PATIENCE else None

    def _read(self) -> Dict[str, Any]:
        try:
            content = read_json(self.path)
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def _slurm() -> Dict[str, str]:
    """The SLURM task of this process, and which attempt it is."""
    job = os.environ.get('SLURM_JOB_ID')
    if job is None:
        return {}
    process = os.environ.get('SLURM_PROCID', '0')
    restart = os.environ.get('SLURM_RESTART_COUNT', '0')
    return dict(job=f'{job}.{process}', restart=restart)
