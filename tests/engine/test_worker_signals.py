# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Workers outlive what a job is sent, and end with their parent."""

import subprocess
import sys
import time

from ..common.processes import run_python

# Persistent workers that nothing has ended before Python exits.
SCRIPT = """
import signal, sys
from torch.utils.data import DataLoader
from mask_plugins.engine.launching.worker_signals import shield_workers
loader = DataLoader(range(8), num_workers=2, persistent_workers=True)
shield_workers(loader, [signal.SIGTERM, signal.SIGINT])
assert len(list(loader)) == 8
sys.kept = loader
"""


def test_a_run_ends_although_its_workers_are_shielded():
    begin = time.monotonic()
    subprocess.run([sys.executable, '-c', SCRIPT], check=True, timeout=200)
    assert time.monotonic() - begin < 150


# In a process of its own: threads that other tests have left may take signals.
OUTLIVE = """
import os, signal, subprocess
from torch.utils.data import DataLoader
from mask_plugins.engine.launching.worker_signals import shield_workers
loader = DataLoader(range(8), num_workers=1, persistent_workers=True)
shield_workers(loader, [signal.SIGTERM])
assert len(list(loader)) == 8
(worker,) = loader._iterator._workers
subprocess.run(['sh', '-c', f'kill -TERM {worker.pid}'], check=True)
assert len(list(loader)) == 8
assert worker.is_alive()
os.kill(worker.pid, signal.SIGTERM)  # of this process, its parent
worker.join(60)
assert worker.exitcode == 0
"""


def test_workers_outlive_a_signal_of_another_process():
    run_python('-c', OUTLIVE)
