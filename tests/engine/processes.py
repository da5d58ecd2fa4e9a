# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Start a script of this folder in two processes that talk to each other."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def launch(script, folder, *extra):
    """Two ranks of ``script folder rank``; exit codes and all output."""
    env = dict(
        os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', LOCAL_RANK='0'
    )
    path = str(Path(__file__).with_name(script))
    processes = [
        subprocess.Popen(
            [sys.executable, path, str(folder), str(rank), *extra],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    output = ''.join(p.communicate(timeout=300)[0] for p in processes)
    return [p.returncode for p in processes], output
