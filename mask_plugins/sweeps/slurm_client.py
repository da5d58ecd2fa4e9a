# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Ask SLURM: sbatch and squeue."""

import getpass
import os
import os.path as osp
import re
import shutil
import subprocess
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from mask_plugins.utils.checks import check_int
from mask_plugins.utils.files import read_json, write_json

from .chunks import Chunk
from .manifest import LOGS

SUBMISSIONS = 'submissions.json'
ACTIVE = ('RUNNING', 'COMPLETING', 'STAGE_OUT', 'SIGNALING', 'CONFIGURING')

Task = Tuple[str, int]  # job id of the array, index


class Queued(NamedTuple):
    """A task that squeue knows.

    Args:
        state (str): Such as 'RUNNING' or 'PENDING'.
        time_left (str): Until its time limit.
        reason (str): Where it runs, or why it does not.
    """

    state: str
    time_left: str
    reason: str

    @property
    def runs(self) -> bool:
        """Whether it has a node."""
        return self.state in ACTIVE


class Limits(NamedTuple):
    r"""What a cluster takes; None where it does not say.

    Args:
        array (int, optional): MaxArraySize: numbers of tasks are below it.
        submitted (int, optional): Tasks of a user that wait or run.

    Examples:
        >>> config = 'MaxArraySize            = 1001\nMaxJobCount = 10000'
        >>> Limits.parse(config, 'MaxSubmitJobs=500(3) MaxWallPJ=')
        Limits(array=1001, submitted=500)
    """

    array: Optional[int] = None
    submitted: Optional[int] = None

    @classmethod
    def parse(cls, config: str, associations: str) -> 'Limits':
        """Read what ``scontrol show config`` and ``... assoc_mgr`` print."""
        array = re.search(r'^MaxArraySize\s*=\s*(\d+)', config, re.M)
        jobs = re.findall(r'^MaxJobCount\s*=\s*(\d+)', config, re.M)
        jobs += re.findall(r'\bMaxSubmitJobs=(\d+)', associations)
        return cls(array and int(array[1]), min(map(int, jobs), default=None))


def limits() -> Limits:
    """The limits for this user.

    Raises:
        OSError: If SLURM does not answer.
    """
    config = _run(['scontrol', 'show', 'config'])
    user = f'users={getpass.getuser()}'
    try:
        shown = _run(['scontrol', 'show', 'assoc_mgr', user, 'flags=assoc'])
    except OSError:  # a cluster without accounting
        shown = ''
    return Limits.parse(config, shown)


def submit(
    script: str,
    folder: str,
    chunk: Chunk,
    python: str = '',
    options: Sequence[str] = (),
) -> str:
    """Submit a script and note that in ``submissions.json``.

    Args:
        script (str): Path of the array script.
        folder (str): Folder of the sweep.
        chunk (Chunk): What it starts.
        python (str): What the tasks run; by default the ``python`` of
            their environment.
        options (Sequence[str]): More options for sbatch. Defaults to ().

    Returns:
        str: The job id.

    Raises:
        OSError: If there is no sbatch, or it refuses.
    """
    entries = read_submissions(folder)
    env = dict(os.environ, MASK_PLUGINS_OFFSET=str(chunk.offset))
    if python:
        env['MASK_PLUGINS_PYTHON'] = python
    command = ['sbatch', '--parsable', *options]
    if chunk.offset:
        # Named by the number of a task, it would look like that of a run.
        log = osp.join(folder, LOGS, '%A_%a.task')
        command += [f'--output={log}']
    out = _run([*command, script], env)
    job = out.strip().split('\n')[-1].split(';')[0]
    now = time.strftime('%Y-%m-%dT%H:%M:%S%z')
    entries.append(dict(job=job, time=now, **chunk._asdict()))
    write_json(osp.join(folder, SUBMISSIONS), entries)
    return job


def read_submissions(folder: str) -> List[Dict[str, Any]]:
    """What was submitted so far, oldest first.

    Raises:
        ValueError: If the file holds something else.
    """
    path = osp.join(folder, SUBMISSIONS)
    entries = read_json(path) if osp.isfile(path) else []
    try:
        for entry in entries:
            check_int('job', int(entry['job']), 0)
            check_int('offset', entry.setdefault('offset', 0), 0)
            check_int('pack', entry.setdefault('pack', 1), 1)
            for index in entry['indices']:
                check_int('indices', index, 0)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path}: expected a list of job (a number as text) and indices '
            f'(a list of ints): {error}'
        ) from error
    return entries


def last_tasks(folder: str) -> Dict[int, Task]:
    """Of each run that was submitted, the last task."""
    found = {}
    for entry in read_submissions(folder):
        job = entry['job']
        chunk = Chunk(entry['indices'], entry['offset'], entry['pack'])
        found.update({i: (job, chunk.task(i)) for i in chunk.indices})
    return found


def queue() -> Dict[Task, Queued]:
    """The tasks of this user that wait or run; empty without SLURM.

    Raises:
        OSError: If SLURM does not answer: a task that runs must not be taken
            for one that has failed, and be started a second time.
    """
    found = {}
    for line in _squeue():
        parts = line.strip().split('|', 4)
        if len(parts) == 5 and parts[1].isdigit():
            found[parts[0], int(parts[1])] = Queued(*parts[2:])
    return found


def queue_length() -> int:
    """How many tasks and jobs of this user wait or run, ours or not.

    Raises:
        OSError: If SLURM does not answer.
    """
    return len(_squeue())


def _squeue() -> List[str]:
    if shutil.which('squeue') is None:
        return []
    out = _run(
        ['squeue', '--noheader', '--array', '--user', getpass.getuser(),
         '--format', '%F|%K|%T|%L|%R']
    )  # fmt: skip
    return out.splitlines()


def _run(command: List[str], env: Optional[Dict[str, str]] = None) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=env
        )
    except FileNotFoundError:
        raise OSError(
            f'{command[0]} is not installed here: this is not a SLURM '
            'cluster. `sweep.py run --local` works without one'
        ) from None
    except subprocess.TimeoutExpired:
        raise OSError(f'{command[0]} does not answer') from None
    if done.returncode:
        raise OSError(f'{command[0]}: {done.stderr.strip() or done.stdout}')
    return done.stdout
