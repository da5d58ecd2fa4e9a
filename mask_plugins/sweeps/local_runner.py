# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Run a sweep on this machine, without SLURM."""

import os
import os.path as osp
import signal
import subprocess
import sys
import time
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from mask_plugins.engine.hooks.tracker_hook import SWEEP_VARIABLE
from mask_plugins.utils.checks import check_int
from mask_plugins.utils.cpus import available_cpus

from .manifest import LOGS, Manifest, SweepRun

# Memory that a step frees is kept for the next one. glibc reads them when a
# process starts; the sbatch templates and tools/quickstart.sh set the same.
ALLOCATOR = dict(
    MALLOC_MMAP_MAX_='0',
    MALLOC_TRIM_THRESHOLD_='-1',
    MALLOC_TOP_PAD_='268435456',
)


def run_here(
    manifest: Manifest, trainer: str, runs: Sequence[SweepRun], jobs: int
) -> Iterator[Tuple[SweepRun, int]]:
    """Start the runs of a sweep as processes, some at a time.

    The same commands and work_dirs as under SLURM; logs go to
    ``logs/local_<index>.out``. Interrupted (Ctrl-C, SIGTERM), the runs are
    told to stop and save; the next start continues.

    Args:
        manifest (Manifest): The sweep.
        trainer (str): Path of tools/train.py.
        runs (Sequence[SweepRun]): What to run.
        jobs (int): Runs at the same time. With GPUs, each gets the next ones
            in turn.

    Yields:
        tuple: Each run when it has ended, and its exit code.

    Raises:
        KeyboardInterrupt: After all of them have stopped.
    """
    check_int('jobs', jobs, low=1)
    os.makedirs(osp.join(manifest.folder, LOGS), exist_ok=True)
    waiting = list(runs)
    running: Dict[int, tuple] = {}  # slot -> run, process
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    processes = manifest.slurm.tasks_per_node
    try:
        while waiting or running:
            free = [slot for slot in range(jobs) if slot not in running]
            for slot in free[: len(waiting)]:
                run = waiting.pop(0)
                log = osp.join(manifest.folder, LOGS, f'local_{run.index}.out')
                command = _command(manifest, run, trainer)
                env = run_environment(slot, jobs, processes)
                env[SWEEP_VARIABLE] = manifest.name
                # Ctrl-C is for this process to pass on.
                options = dict(env=env, start_new_session=True)
                running[slot] = run, start_logged(command, log, **options)
            for slot, (run, process) in list(running.items()):
                if process.poll() is not None:
                    del running[slot]
                    yield run, process.returncode
            time.sleep(0.1)
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.wait()
        signal.signal(signal.SIGTERM, before)


def start_logged(
    command: List[str], log: str, **options: Any
) -> subprocess.Popen:
    """Start a process that reads nothing and whose output goes to a file."""
    with open(log, 'ab') as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            **options,
        )


def _command(manifest: Manifest, run: SweepRun, trainer: str) -> List[str]:
    processes = manifest.slurm.tasks_per_node
    command = [sys.executable, '-u']
    config, *arguments = manifest.command(run)
    if processes > 1:
        command += ['-m', 'torch.distributed.run', '--standalone']
        command += [f'--nproc_per_node={processes}']
        arguments = ['--launcher', 'pytorch', *arguments]
    return [*command, trainer, config, *arguments]


def run_environment(slot: int, jobs: int, processes: int) -> Dict[str, str]:
    """The environment of a run: its share of the cores and GPUs.

    Args:
        slot (int): Which of the runs at the same time it is.
        jobs (int): Runs at the same time.
        processes (int): Processes of a run.
    """
    env = {**ALLOCATOR, **os.environ}
    cores = available_cpus() // (jobs * processes)
    env.setdefault('OMP_NUM_THREADS', str(max(1, cores)))
    gpus = _gpus()
    if gpus:
        first = slot * processes
        mine = [gpus[(first + i) % len(gpus)] for i in range(processes)]
        env['CUDA_VISIBLE_DEVICES'] = ','.join(dict.fromkeys(mine))
    return env


def _gpus() -> List[str]:
    import torch

    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    if visible is not None:
        return [name for name in visible.split(',') if name.strip()]
    return [str(number) for number in range(torch.cuda.device_count())]
