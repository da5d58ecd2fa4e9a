# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a work_dir says about its run: running, preempted or done."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any, Dict, Optional, Union

from .atomic_backend import AtomicLocalBackend

STATE_FILE = 'run_state.json'
RUNNING, PREEMPTED, DONE = 'running', 'preempted', 'done'

# How a preempted process ends. 75 is EX_TEMPFAIL of sysexits.h, "the user is
# invited to retry"; 74 is EX_IOERR.
EXIT_PREEMPTED = 75
EXIT_NOT_SAVED = 74


def write_state(
    work_dir: Union[str, Path], state: str, resumable: bool, **more: Any
) -> None:
    """Write the state of a run, in one atomic step.

    Args:
        work_dir (str | Path): Folder of the run.
        state (str): 'running', 'preempted' or 'done'.
        resumable (bool): Whether the next start in this folder should go on
            from the newest checkpoint without being told to.
        **more: What else to note, as JSON.

    Raises:
        OSError: If it cannot be written.
    """
    job = os.environ.get('SLURM_JOB_ID')
    if 'SLURM_ARRAY_JOB_ID' in os.environ:
        job = '{SLURM_ARRAY_JOB_ID}_{SLURM_ARRAY_TASK_ID}'.format(**os.environ)
    values = dict(
        state=state,
        resumable=resumable,
        **more,
        host=socket.gethostname(),
        pid=os.getpid(),
        job=job,
        time=time.strftime('%Y-%m-%dT%H:%M:%S%z'),
    )
    AtomicLocalBackend().put_text(
        json.dumps(values, indent=1) + '\n', Path(work_dir) / STATE_FILE
    )


def read_state(work_dir: Union[str, Path]) -> Optional[Dict[str, Any]]:
    """What :func:`write_state` wrote, None if there is nothing to read."""
    try:
        text = (Path(work_dir) / STATE_FILE).read_text(encoding='utf-8')
        values = json.loads(text)
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def is_resumable(work_dir: Union[str, Path]) -> bool:
    """Whether a preempted run waits in this folder."""
    return bool((read_state(work_dir) or {}).get('resumable'))
