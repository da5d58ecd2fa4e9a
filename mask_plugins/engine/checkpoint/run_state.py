# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a work_dir says about its run: running, preempted, failed or done."""

import json
import os
import time
from typing import Any, Dict, Optional

from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mask_plugins.utils.checks import PathLike
from mask_plugins.utils.files import write_atomically
from mask_plugins.utils.process_id import is_alive, process_id

STATE_FILE = 'run_state.json'
RUNNING, PREEMPTED, FAILED, DONE = 'running', 'preempted', 'failed', 'done'
# Ended early by a search, for good.
PRUNED = 'pruned'

# How a preempted process ends. 75 is EX_TEMPFAIL of sysexits.h, "the user is
# invited to retry"; 74 is EX_IOERR.
EXIT_PREEMPTED = 75
EXIT_NOT_SAVED = 74
# How a diverged run ends.
EXIT_DIVERGED = 3


def write_state(
    work_dir: PathLike, state: str, resumable: bool, **more: Any
) -> None:
    """Write the state of a run.

    Args:
        work_dir (str | PathLike): Folder of the run.
        state (str): 'running', 'preempted', 'failed', 'done' or 'pruned'.
        resumable (bool): Whether the next start in this folder resumes from
            the newest checkpoint without being told to.
        **more: What else to note, as JSON.

    Raises:
        OSError: If it cannot be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_state(folder, RUNNING, resumable=False)
        ...     print(is_running(read_state(folder)))
        True
    """
    job = os.environ.get('SLURM_JOB_ID')
    if 'SLURM_ARRAY_JOB_ID' in os.environ:
        job = '{SLURM_ARRAY_JOB_ID}_{SLURM_ARRAY_TASK_ID}'.format(**os.environ)
    values = dict(
        state=state,
        resumable=resumable,
        **more,
        **process_id(),
        job=job,
        time=time.strftime('%Y-%m-%dT%H:%M:%S%z'),
    )
    path = os.path.join(work_dir, STATE_FILE)
    write_atomically(path, json.dumps(values, indent=1) + '\n')


def note_state(
    runner: Runner, state: str, resumable: bool, **more: Any
) -> None:
    """:func:`write_state` on rank 0; a full disk does not end the run.

    Args:
        runner (Runner): The runner, for folder and iterations.
        state (str): See :func:`write_state`.
        resumable (bool): The same.
        **more: The same.

    Examples:
        >>> import tempfile
        >>> from types import SimpleNamespace
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     runner = SimpleNamespace(work_dir=folder, iter=3, max_iters=9)
        ...     note_state(runner, RUNNING, resumable=False)
        ...     print(read_state(folder)['iteration'])
        3
    """
    if not is_main_process():
        return
    values = {'iteration': runner.iter, 'max_iters': runner.max_iters, **more}
    try:
        write_state(runner.work_dir, state, resumable, **values)
    except OSError as error:  # the checkpoints matter more
        runner.logger.error(f'{STATE_FILE}: {error}.')


def read_state(work_dir: PathLike) -> Optional[Dict[str, Any]]:
    """What :func:`write_state` wrote, None if there is nothing to read.

    Examples:
        >>> read_state('a/folder/that/does/not/exist')
    """
    try:
        with open(os.path.join(work_dir, STATE_FILE), 'rb') as file:
            values = json.loads(file.read().decode())
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def is_resumable(work_dir: PathLike) -> bool:
    """Whether a preempted run waits in this folder.

    Examples:
        >>> is_resumable('a/folder/that/does/not/exist')
        False
    """
    return (read_state(work_dir) or {}).get('resumable') is True


def is_running(state: Dict[str, Any]) -> bool:
    """Whether the process that wrote a state is seen to run.

    One that cannot be seen, on another machine or in another container, does
    not count: ask SLURM. See :func:`mask_plugins.utils.process_id.is_alive`.

    Args:
        state (dict): From :func:`read_state`.

    Examples:
        >>> is_running(dict(host='elsewhere', pid=1))
        False
    """
    return is_alive(state) is True
