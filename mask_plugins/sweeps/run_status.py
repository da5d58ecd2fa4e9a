# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How far is each run of a sweep?"""

import contextlib
import json
import os
import os.path as osp
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from mask_plugins.analysis.runs.run_comparison import ACCURACY, Metric
from mask_plugins.analysis.runs.run_log import TRAIN_LOG, VAL_LOG
from mask_plugins.engine.checkpoint.run_state import (
    DONE,
    PREEMPTED,
    PRUNED,
    RUNNING,
    is_running,
    read_state,
)

from . import slurm_client
from .manifest import LOGS, Manifest, SweepRun

PENDING, FAILED, MISSING = 'pending', 'failed', 'not started'
STATES = (DONE, PRUNED, RUNNING, PENDING, PREEMPTED, FAILED, MISSING)
_TAIL = 65536
_ERROR = re.compile(r'^(?:\w+: )?(?:[\w.]+\.)?\w*(?:Error|Exception)\b')
_LOG = re.compile(r'[^.].*_(\d+)\.out')
_SLURM = re.compile(r'error: |Killed|CANCELLED|oom')


class RunStatus(NamedTuple):
    """One line of the table.

    Args:
        run (SweepRun): The run.
        state (str): One of ``STATES``.
        iterations (int): How many it has trained.
        total (int, optional): How many it will.
        best (float, optional): Best value of the metric so far.
        seconds_left (float, optional): Of training, at the pace so far.
        detail (str): Where it runs, what it waits for, or why it ended.
        active (bool): Whether SLURM or a process has it: it must not be
            started a second time.
    """

    run: SweepRun
    state: str
    iterations: int = 0
    total: Optional[int] = None
    best: Optional[float] = None
    seconds_left: Optional[float] = None
    detail: str = ''
    active: bool = False

    def to_dict(self) -> Dict[str, Any]:
        """As JSON has it."""
        values = self._asdict()
        run = values.pop('run')
        return dict(index=run.index, name=run.name, **values)


def sweep_status(
    manifest: Manifest, metric: Metric = ACCURACY
) -> List[RunStatus]:
    """The state of every run, from manifest, SLURM and logs.

    Args:
        manifest (Manifest): The sweep.
        metric (Metric): Of ``val_log.json``. Defaults to 'acc1'.

    Returns:
        list[RunStatus]: In the order of the runs.

    Examples:
        >>> from mask_plugins.sweeps import Manifest, SlurmOptions, SweepRun
        >>> run = SweepRun(0, 'seed-0', 'c.py', {'randomness.seed': 0})
        >>> made = Manifest('nowhere', 'test', [run], SlurmOptions())
        >>> sweep_status(made)[0].state
        'not started'
    """
    tasks = slurm_client.last_tasks(manifest.folder)
    queue = slurm_client.queue() if tasks else {}
    logs = newest_logs(manifest)
    packed = manifest.slurm.pack > 1
    statuses = []
    for run in manifest.runs:
        saved = read_state(manifest.work_dir(run)) or {}
        queued = queue.get(tasks.get(run.index))
        if queued and packed and saved.get('state') != RUNNING:
            # Its task may be at another run.
            queued = queued._replace(state='PENDING')
        state, detail = _state(saved, queued, logs.get(run.index))
        active = queued is not None or state == RUNNING
        progress = _progress(manifest.work_dir(run), saved, metric, state)
        statuses.append(RunStatus(run, state, *progress, detail, active))
    return statuses


def _progress(
    work_dir: str, saved: Dict[str, Any], metric: Metric, state: str
) -> Tuple[int, Optional[int], Optional[float], Optional[float]]:
    """What the logs of a run say; they may be growing, or cut.

    Returns:
        tuple: ``iterations``, ``total``, ``best`` and ``seconds_left``.
    """
    train = _tail(osp.join(work_dir, TRAIN_LOG))
    val = _tail(osp.join(work_dir, VAL_LOG))
    steps = _numbers(train, 'iteration')[-1:]
    iterations = int(steps[0]) + 1 if steps else 0
    pick = max if metric.best == 'max' else min
    best = pick(_numbers(val, metric.key), default=None)
    total = saved.get('max_iters')
    if type(total) is not int or total < 1:
        total = None
    left = None
    if state == RUNNING and total and train:
        # At the pace of the last iterations, and of the validations.
        times = _numbers(train, 'time')
        each = sum(times) / max(1, len(times))
        times, steps = _numbers(val, 'time'), _numbers(val, 'iteration')
        if times and steps and steps[-1] > 0:
            each += times[-1] * len(val) / steps[-1]
        left = (total - iterations) * each
    return iterations, total, best, left


def _state(
    saved: Dict[str, Any],
    queued: Optional[slurm_client.Queued],
    log: Optional[str],
) -> Tuple[str, str]:
    """State and detail of a run, of what it saved, SLURM and its log."""
    before = saved.get('state')
    if before == DONE:
        return DONE, ''
    if before == PRUNED:
        return PRUNED, f'after {saved.get("reason")}'
    if queued is not None:
        if queued.runs:
            return RUNNING, f'{queued.reason}, limit in {queued.time_left}'
        if before == PREEMPTED:
            return PREEMPTED, f'back in the queue {queued.reason}'
        return PENDING, queued.reason
    if before == RUNNING and is_running(saved):
        return RUNNING, f'process {saved["pid"]} on {saved["host"]}'
    if before == PREEMPTED:
        if saved.get('problem'):
            return FAILED, str(saved['problem'])
        return PREEMPTED, f'{saved.get("reason")}; `resubmit` continues it'
    if log is None and not saved:
        return MISSING, ''
    return FAILED, last_error(log)


def newest_logs(manifest: Manifest) -> Dict[int, str]:
    """The log file of each run's last attempt, of those that started.

    The folder is read once, however many runs there are.

    Args:
        manifest (Manifest): The sweep.

    Returns:
        dict[int, str]: Index of the run -> path.
    """
    newest: Dict[int, Tuple[float, str]] = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(
        osp.join(manifest.folder, LOGS)
    ) as entries:
        for entry in entries:
            index = _LOG.fullmatch(entry.name)
            # One may be moved away meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if index:
                    found = entry.stat().st_mtime, entry.path
                    number = int(index[1])
                    newest[number] = max(found, newest.get(number, found))
    return {number: path for number, (_, path) in newest.items()}


def last_error(path: Optional[str]) -> str:
    """The line of a log that says best why a run ended."""
    if path is None:
        return 'no log'
    lines = [line.strip() for line in _read_tail(path)]
    for pattern in (_ERROR, _SLURM, re.compile('.')):
        found = list(filter(pattern.search, lines))
        if found:
            return found[-1]
    return 'the log is empty'


def _numbers(lines: Sequence[Dict[str, Any]], key: str) -> List[float]:
    """The values of a key, where they are numbers."""
    values = [line.get(key) for line in lines]
    return [v for v in values if type(v) in (int, float)]


def _tail(path: str) -> List[Dict[str, Any]]:
    """The last whole lines of a log."""
    records = []
    for line in _read_tail(path):
        with contextlib.suppress(ValueError, RecursionError):
            records.append(json.loads(line))
    return [record for record in records if isinstance(record, dict)]


def _read_tail(path: str) -> List[str]:
    with contextlib.suppress(OSError), open(path, 'rb') as file:
        file.seek(max(0, osp.getsize(path) - _TAIL))
        return file.read().decode('utf-8', 'replace').splitlines()
    return []
