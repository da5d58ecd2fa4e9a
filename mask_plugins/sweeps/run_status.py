# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How far is each run of a sweep?"""

import glob
import json
import os
import os.path as osp
import re
import socket
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from mask_plugins.analysis.runs.run_comparison import Metric
from mask_plugins.analysis.runs.run_log import TRAIN_LOG, VAL_LOG
from mask_plugins.engine.checkpoint.run_state import (
    DONE,
    PREEMPTED,
    RUNNING,
    read_state,
)

from . import slurm_client
from .manifest import LOGS, Manifest, SweepRun

PENDING, FAILED, MISSING = 'pending', 'failed', 'not started'
STATES = (DONE, RUNNING, PENDING, PREEMPTED, FAILED, MISSING)
_TAIL = 65536
_ERROR = re.compile(r'^(?:\w+: )?(?:[\w.]+\.)?\w*(?:Error|Exception)\b')
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


def sweep_status(manifest: Manifest, metric: Metric) -> List[RunStatus]:
    """The state of every run, from manifest, SLURM and logs.

    Args:
        manifest (Manifest): The sweep.
        metric (Metric): Of ``val_log.json``.

    Returns:
        list[RunStatus]: In the order of the runs.
    """
    jobs = slurm_client.last_jobs(manifest.folder)
    queue = slurm_client.queue() if jobs else {}
    ended: Dict[slurm_client.Task, str] = {}
    if any((job, index) not in queue for index, job in jobs.items()):
        ended = slurm_client.accounting(sorted(set(jobs.values())))
    statuses = []
    for run in manifest.runs:
        task = (jobs.get(run.index, ''), run.index)
        statuses.append(
            _status(manifest, run, metric, queue.get(task), ended.get(task))
        )
    return statuses


def _status(
    manifest: Manifest,
    run: SweepRun,
    metric: Metric,
    queued: Optional[slurm_client.Queued],
    ended: Optional[str],
) -> RunStatus:
    work_dir = manifest.work_dir(run)
    saved = read_state(work_dir) or {}
    train = _tail(osp.join(work_dir, TRAIN_LOG))
    val = _tail(osp.join(work_dir, VAL_LOG))
    iterations = 0
    if train:
        iterations = int(train[-1].get('iteration', -1)) + 1
    known = [line[metric.key] for line in val if _number(line, metric.key)]
    best = None
    if known:
        best = max(known) if metric.best == 'max' else min(known)
    state, detail = _state(manifest, run, saved, queued, ended)
    total = saved.get('max_iters')
    left = None
    if state == RUNNING and total and train:
        left = _seconds_left(train, val, iterations, total)
    active = queued is not None or state == RUNNING
    return RunStatus(run, state, iterations, total, best, left, detail, active)


def _state(
    manifest: Manifest,
    run: SweepRun,
    saved: Dict[str, Any],
    queued: Optional[slurm_client.Queued],
    ended: Optional[str],
) -> 'tuple[str, str]':
    """State and detail of a run."""
    before = saved.get('state')
    if before == DONE:
        return DONE, ''
    if queued is not None:
        if queued.runs:
            return RUNNING, f'{queued.reason}, limit in {queued.time_left}'
        if before == PREEMPTED:
            return PREEMPTED, f'back in the queue {queued.reason}'
        return PENDING, queued.reason
    if before == RUNNING and _is_alive(saved):
        return RUNNING, f'process {saved["pid"]} on {saved["host"]}'
    log = newest_log(manifest, run)
    if before == PREEMPTED:
        problem = saved.get('problem')
        if problem:
            return FAILED, problem
        return PREEMPTED, f'{saved.get("reason")}; `resubmit` goes on'
    if log is None and not saved:
        return MISSING, ended or ''
    error = last_error(log) if log else 'no log'
    return FAILED, f'{ended}: {error}' if ended else error


def _is_alive(saved: Dict[str, Any]) -> bool:
    """Whether the process that wrote a state still runs, on this machine."""
    if saved.get('host') != socket.gethostname() or not saved.get('pid'):
        return False
    try:
        os.kill(int(saved['pid']), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _seconds_left(
    train: Sequence[Dict[str, Any]],
    val: Sequence[Dict[str, Any]],
    iterations: int,
    total: int,
) -> float:
    """What is left, at the pace of the last iterations and validations."""
    times = [line['time'] for line in train if _number(line, 'time')]
    each = sum(times) / max(1, len(times))
    left = (total - iterations) * each
    if val and _number(val[-1], 'time') and val[-1].get('iteration'):
        per_iteration = val[-1]['time'] * len(val) / val[-1]['iteration']
        left += (total - iterations) * per_iteration
    return left


def newest_log(manifest: Manifest, run: SweepRun) -> Optional[str]:
    """The log file of a run's last attempt, None if it never started."""
    folder = glob.escape(osp.join(manifest.folder, LOGS))
    found = glob.glob(osp.join(folder, f'*_{run.index}.out'))
    return max(found, key=osp.getmtime) if found else None


def last_error(path: str) -> str:
    """The line of a log that says best why a run ended."""
    lines = [line.strip() for line in _read_tail(path).splitlines()]
    lines = [line for line in lines if line]
    for pattern in (_ERROR, _SLURM):
        found = [line for line in lines if pattern.search(line)]
        if found:
            return found[-1]
    return lines[-1] if lines else 'the log is empty'


def _number(line: Dict[str, Any], key: str) -> bool:
    return isinstance(line.get(key), (int, float))


def _tail(path: str) -> List[Dict[str, Any]]:
    """The last whole lines of a log; it may be growing, or cut."""
    records = []
    for line in _read_tail(path).splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def _read_tail(path: str) -> str:
    try:
        with open(path, 'rb') as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            return file.read().decode('utf-8', 'replace')
    except OSError:
        return ''
