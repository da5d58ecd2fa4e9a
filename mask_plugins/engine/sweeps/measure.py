# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How long does an epoch of a sweep take here?"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from typing import Tuple

from mask_plugins.evaluation.run_log import RunLog

from .manifest import Manifest


def measure_epoch(manifest: Manifest, trainer: str) -> Tuple[float, str]:
    """Train one epoch of the first run, and validate.

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
        done = subprocess.run(
            [sys.executable, trainer, *command, 'train_cfg.max_epochs=1'],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise ValueError(
                f'measure: training failed:\n{done.stdout[-2000:]}'
            )
        log = RunLog(folder)
        seconds = sum(line['time'] for line in [*log.train, *log.val])
    return round(seconds, 3), f'{_machine()}, {time.strftime("%Y-%m-%d")}'


def _machine() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = os.environ.get('OMP_NUM_THREADS', torch.get_num_threads())
    return f'{platform.machine()} CPU, {threads} threads'
