# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How long does an epoch of a sweep take here?"""

import os
import os.path as osp
import sys
import tempfile
import time
from typing import Optional, Tuple

from mask_plugins.analysis.runs.run_log import RunLog
from mask_plugins.utils.cpus import cpu_name

from .local_runner import start_logged
from .manifest import Manifest
from .run_status import last_error


def measure_epoch(manifest: Manifest, trainer: str) -> Tuple[float, str]:
    """Train one epoch of the first run, and validate, then stop.

    The run is started as it is, and not with a single epoch: a warm-up, say,
    may be longer than that.

    Args:
        manifest (Manifest): The sweep.
        trainer (str): Path of tools/train.py.

    Returns:
        tuple: Seconds, and on which machine and day.

    Raises:
        ValueError: If the runs count iterations, or training fails.
    """
    run = manifest.runs[0]
    if run.epochs is None:
        raise ValueError('measure: train_cfg.max_epochs is not set')
    with tempfile.TemporaryDirectory() as folder:
        command = manifest.command(run)
        command[command.index('--work-dir') + 1] = folder
        output = osp.join(folder, 'output.txt')
        process = start_logged([sys.executable, trainer, *command], output)
        try:
            while process.poll() is None and _seconds(folder) is None:
                time.sleep(0.2)
        finally:
            process.terminate()
            process.wait()
        seconds = _seconds(folder)
        if seconds is None:
            raise ValueError(f'measure: {last_error(output)}')
    return round(seconds, 3), f'{_machine()}, {time.strftime("%Y-%m-%d")}'


def _seconds(folder: str) -> Optional[float]:
    """Of the first epoch and its validation; None until both are over."""
    try:
        log = RunLog(folder)
    except (OSError, ValueError):
        return None
    if not log.val and log.train[-1]['epoch'] == 0:
        return None
    lines = [line for line in log.train if line['epoch'] == 0]
    return sum(line['time'] for line in [*lines, *log.val[:1]])


def _machine() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = os.environ.get('OMP_NUM_THREADS', torch.get_num_threads())
    return f'{cpu_name()}, {threads} threads'
