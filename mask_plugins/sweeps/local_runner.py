# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Run a sweep on this machine, without SLURM."""

import os
import os.path as osp
import signal
import subprocess
import sys
import time
from typing import Dict, Iterator, List, NamedTuple, Sequence

from mask_plugins.utils.checks import check_int

from .manifest import LOGS, Manifest, SweepRun


class Finished(NamedTuple):
    """A run that has ended, and how."""

    run: SweepRun
    code: int


class LocalRunner:
    """Start the runs of a sweep as processes, some at a time.

    The same commands and work_dirs as under SLURM; logs go to
    ``logs/local_<index>.out``. Interrupted (Ctrl-C, SIGTERM), the runs are
    told to stop and save; the next start continues.

    Args:
        manifest (Manifest): The sweep.
        trainer (str): Path of tools/train.py.
        jobs (int): Runs at the same time. With GPUs, each gets the next ones
            in turn.
    """

    def __init__(self, manifest: Manifest, trainer: str, jobs: int) -> None:
        self.manifest = manifest
        self.trainer = trainer
        self.jobs = check_int('jobs', jobs, low=1)

    def run(self, runs: Sequence[SweepRun]) -> Iterator[Finished]:
        """Run them; each is yielded when it has ended.

        Raises:
            KeyboardInterrupt: After all of them have stopped.
        """
        os.makedirs(osp.join(self.manifest.folder, LOGS), exist_ok=True)
        waiting = list(runs)
        running: Dict[int, tuple] = {}  # slot -> run, process
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            while waiting or running:
                free = [s for s in range(self.jobs) if s not in running]
                for slot in free[: len(waiting)]:
                    run = waiting.pop(0)
                    running[slot] = run, self._start(run, slot)
                for slot, (run, process) in list(running.items()):
                    if process.poll() is not None:
                        del running[slot]
                        yield Finished(run, process.returncode)
                time.sleep(0.1)
        finally:
            for _, process in running.values():
                process.terminate()
            for _, process in running.values():
                process.wait()
            signal.signal(signal.SIGTERM, before)

    def _start(self, run: SweepRun, slot: int) -> subprocess.Popen:
        log = osp.join(self.manifest.folder, LOGS, f'local_{run.index}.out')
        with open(log, 'ab') as file:
            return subprocess.Popen(
                self._command(run),
                env=self._environment(slot),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for this process to pass on.
                start_new_session=True,
            )

    def _command(self, run: SweepRun) -> List[str]:
        processes = self.manifest.slurm.tasks_per_node
        command = [sys.executable, '-u']
        config, *arguments = self.manifest.command(run)
        if processes > 1:
            command += ['-m', 'torch.distributed.run', '--standalone']
            command += [f'--nproc_per_node={processes}']
            arguments = ['--launcher', 'pytorch', *arguments]
        return [*command, self.trainer, config, *arguments]

    def _environment(self, slot: int) -> Dict[str, str]:
        env = dict(os.environ)
        processes = self.manifest.slurm.tasks_per_node
        cores = (os.cpu_count() or 1) // (self.jobs * processes)
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


def _interrupt(signum, frame) -> None:
    raise KeyboardInterrupt
