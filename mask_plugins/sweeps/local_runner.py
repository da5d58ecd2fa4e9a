# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Run a sweep on this machine, without SLURM."""

import os
import os.path as osp
import queue
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Dict, Iterator, List, NamedTuple, Sequence

from .manifest import LOGS, Manifest, SweepRun


class Finished(NamedTuple):
    """A run that has ended, and how."""

    run: SweepRun
    code: int


class LocalRunner:
    """Start the runs of a sweep as processes, some at a time.

    The same commands and work_dirs as under SLURM; logs go to
    ``logs/local_<index>.out``. Interrupted (Ctrl-C, SIGTERM), the runs are
    told to stop and save; the next start goes on.

    Args:
        manifest (Manifest): The sweep.
        trainer (str): Path of tools/train.py.
        jobs (int): Runs at the same time. With GPUs, each gets the next ones
            in turn.
    """

    def __init__(self, manifest: Manifest, trainer: str, jobs: int) -> None:
        self.manifest = manifest
        self.trainer = trainer
        self.jobs = jobs
        self._stopping = threading.Event()
        self._running: Dict[int, subprocess.Popen] = {}
        self._lock = threading.Lock()
        self._slots: queue.Queue[int] = queue.Queue()
        for slot in range(jobs):
            self._slots.put(slot)

    def run(self, runs: Sequence[SweepRun]) -> Iterator[Finished]:
        """Run them; each is yielded when it has ended.

        Raises:
            KeyboardInterrupt: After all of them have stopped.
        """
        os.makedirs(osp.join(self.manifest.folder, LOGS), exist_ok=True)
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            with ThreadPoolExecutor(self.jobs) as pool:
                futures = [pool.submit(self._one, run) for run in runs]
                try:
                    for future in as_completed(futures):
                        yield future.result()
                except (KeyboardInterrupt, GeneratorExit):
                    self.stop()
                    raise
        finally:
            signal.signal(signal.SIGTERM, before)

    def stop(self) -> None:
        """Tell the runs to stop and save, and start no other."""
        self._stopping.set()
        with self._lock:
            for process in self._running.values():
                process.terminate()

    def _one(self, run: SweepRun) -> Finished:
        slot = self._slots.get()
        try:
            return Finished(run, self._start(run, slot))
        finally:
            self._slots.put(slot)

    def _start(self, run: SweepRun, slot: int) -> int:
        log = osp.join(self.manifest.folder, LOGS, f'local_{run.index}.out')
        with open(log, 'ab') as file:
            with self._lock:
                if self._stopping.is_set():
                    return -signal.SIGTERM
                process = subprocess.Popen(
                    self._command(run),
                    env=self._environment(slot),
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C is for this process to pass on.
                    start_new_session=True,
                )
                self._running[run.index] = process
            code = process.wait()
            with self._lock:
                del self._running[run.index]
        return code

    def _command(self, run: SweepRun) -> List[str]:
        processes = self.manifest.slurm.tasks_per_node
        command = [sys.executable, '-u']
        arguments = self.manifest.command(run)
        if processes > 1:
            command += ['-m', 'torch.distributed.run', '--standalone']
            command += [f'--nproc_per_node={processes}']
            arguments = [arguments[0], '--launcher', 'pytorch', *arguments[1:]]
        return [*command, self.trainer, *arguments]

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
