# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Train the trials of a search, one at a time."""

import ctypes
import functools
import math
import os
import os.path as osp
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

from mask_plugins.analysis.runs.run_comparison import Metric
from mask_plugins.analysis.runs.run_log import VAL_LOG
from mask_plugins.engine.checkpoint import run_state
from mask_plugins.utils.files import read_json_lines

from ..local_runner import start_logged
from ..manifest import LOGS
from .study import WAIT, Claimed, Search
from .trial_record import BEAT

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
# How often a training may be killed without an iteration more in the end.
_ATTEMPTS = 3
_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Have the kernel end this new process when its parent is killed.

    Without it a training would continue next to the one that takes its place.

    Args:
        parent (int): The pid of the parent.
    """
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


class Worker:
    """Take trials, train them and tell how they ended, until none is left.

    A trial is a run of tools/train.py in a folder of its own. Where trials
    are compared (ASHA) it stops after the epoch, saved, and is started again
    if it continues. Told to stop, the worker has the run save, and ends with
    75; killed, it takes the run along. The next worker continues it.

    Args:
        search (Search): The search.
        trainer (str): Path of tools/train.py.
        env (dict): Environment of the runs.
    """

    def __init__(
        self, search: Search, trainer: str, env: Dict[str, str]
    ) -> None:
        self.search = search
        self.trainer = trainer
        self.env = env
        self.metric = Metric.parse(search.spec.metric)
        self._signal = 0
        self._process: Optional[subprocess.Popen] = None
        self._failed = 0

    def run(self) -> int:
        """Work until no trial is left.

        Returns:
            int: An exit code; 75 if it was told to stop.

        Raises:
            RuntimeError: If three trials in a row fail: it names the log.
        """
        before = {s: signal.signal(s, self._note) for s in SIGNALS}
        try:
            while not self._signal:
                claimed = self.search.take()
                if claimed is None:
                    return 0
                if claimed == WAIT:
                    time.sleep(5)
                    continue
                try:
                    code = self._train(claimed)
                finally:
                    claimed.record.release()
                if code:
                    return code
            return run_state.EXIT_PREEMPTED
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _note(self, signum: int, frame: Any) -> None:
        self._signal = signum
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    # ---------------------------------------------------------------- a trial
    def _train(self, claimed: Claimed) -> int:
        """Train one trial to its end; a code if the worker has to end."""
        work_dir = osp.join(self.search.folder, claimed.run.work_dir)
        attempts, done = 0, -1
        while True:
            state = self._state(work_dir)
            rung = self._next_rung(claimed.number)
            if state.get('state') == run_state.DONE:
                self._complete(claimed, work_dir)
                return 0
            if state.get('state') == run_state.PRUNED:
                # Killed between the two.
                self.search.finish(claimed.number, 'PRUNED', None)
                return 0
            if rung and state.get('stop_epoch') == rung:
                # It has validated, saved the best, and stopped here.
                self.search.report(claimed.number, self._values(work_dir))
                if not self.search.continues(claimed.number, rung):
                    self._end(claimed, work_dir, 'PRUNED', f'epoch {rung}')
                    return 0
                continue
            if self._signal:
                return run_state.EXIT_PREEMPTED
            code = self._start(claimed, rung)
            state = self._state(work_dir)
            if self._signal and code:
                return run_state.EXIT_PREEMPTED
            if code == run_state.EXIT_NOT_SAVED:
                return code
            killed = code < 0 or code > 128 or code == run_state.EXIT_PREEMPTED
            before, done = done, state.get('iteration', -1)
            attempts = 0 if done != before else attempts + 1
            if (code and not killed) or attempts >= _ATTEMPTS:
                self._fail(claimed, work_dir, code)
                return 0

    def _state(self, work_dir: str) -> Dict[str, Any]:
        """What the run wrote; one that still runs is waited for."""
        while True:
            state = run_state.read_state(work_dir) or {}
            running = state.get('state') == run_state.RUNNING
            if self._signal or not (running and run_state.is_running(state)):
                return state
            time.sleep(0.1)

    def _next_rung(self, number: int) -> Optional[int]:
        trial = self.search.trials()[number]
        for rung in self.search.spec.rungs():
            if trial.user_attrs.get(f'epoch {rung}') != 'continues':
                return rung
        return None

    def _start(self, claimed: Claimed, rung: Optional[int]) -> int:
        """Train until it stops; the exit code."""
        folder = self.search.folder
        arguments = self.search.manifest().command(claimed.run)
        stop = f'default_hooks.preemption.stop_epoch={rung}'
        command = [sys.executable, '-u', self.trainer, *arguments, stop]
        os.makedirs(osp.join(folder, LOGS), exist_ok=True)
        log = osp.join(folder, LOGS, f'local_{claimed.number}.out')
        self._check_owner(claimed)
        self._process = self._launch(command, log)
        if self._signal:  # it came before there was a process to tell
            self._process.send_signal(signal.SIGTERM)
        try:
            beat = time.monotonic() + BEAT
            while self._process.poll() is None:
                if time.monotonic() > beat:
                    beat += BEAT
                    self._check_owner(claimed)
                time.sleep(0.05)
            return self._process.returncode
        finally:
            self._process.kill()
            self._process.wait()
            self._process = None

    @staticmethod
    def _check_owner(claimed: Claimed) -> None:
        if not claimed.record.is_mine():
            raise RuntimeError(
                f'trial {claimed.number} was taken over by another worker: '
                'this one gave no sign of life'
            )

    def _launch(self, command: List[str], log: str) -> subprocess.Popen:
        """Start a training that does not outlive this process."""
        # Ctrl-C is for the worker to pass on.
        return start_logged(
            command,
            log,
            env=self.env,
            start_new_session=True,
            preexec_fn=functools.partial(end_with_parent, os.getpid()),
        )

    # ------------------------------------------------------------- the result
    def _values(self, work_dir: str) -> Dict[int, float]:
        """Epochs trained -> the metric after them, where it is finite."""
        path = osp.join(work_dir, VAL_LOG)
        if not osp.isfile(path):
            return {}
        by_epoch = self.search.spec.epochs is not None
        found = {}
        for line in read_json_lines(path, on_cut=str):
            step = line['epoch'] + 1 if by_epoch else line['iteration']
            value = line.get(self.metric.key)
            if type(value) in (int, float) and math.isfinite(value):
                found[step] = float(value)
        return found

    def _complete(self, claimed: Claimed, work_dir: str) -> None:
        values = self._values(work_dir)
        self.search.report(claimed.number, values)
        if not values:
            print(
                f'trial {claimed.number}: {VAL_LOG} has no {self.metric.key}'
            )
            self.search.finish(claimed.number, 'FAIL', None)
            return
        best = (max if self.metric.best == 'max' else min)(values.values())
        self._failed = 0
        self.search.finish(claimed.number, 'COMPLETE', best)
        print(f'trial {claimed.number}: {self.metric.title} {best:.2f}')

    def _end(
        self, claimed: Claimed, work_dir: str, state: str, where: str
    ) -> None:
        """End a trial early; its folder does not wait to be resumed."""
        saved = run_state.read_state(work_dir) or {}
        counts = {k: saved.get(k) for k in ('iteration', 'max_iters')}
        run_state.write_state(
            work_dir, run_state.PRUNED, False, reason=where, **counts
        )
        self._failed = 0
        self.search.finish(claimed.number, state, None)
        print(f'trial {claimed.number}: ended after {where}')

    def _fail(self, claimed: Claimed, work_dir: str, code: int) -> None:
        log = osp.join(self.search.folder, LOGS, f'local_{claimed.number}.out')
        self.search.report(claimed.number, self._values(work_dir))
        self.search.finish(claimed.number, 'FAIL', None)
        print(f'trial {claimed.number}: failed with code {code}, see {log}')
        self._failed += 1
        if self._failed == 3:
            raise RuntimeError(f'three trials in a row failed: see {log}')
