# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Searches whose workers and runs are forked: a trial takes a second or two.

From the command line each of them would import torch again.
"""

import os
import signal

import yaml

from mask_plugins.sweeps.search import read_search
from mask_plugins.sweeps.search.spec import make_search, write_search
from mask_plugins.sweeps.search.study import Search
from mask_plugins.sweeps.search.worker import SIGNALS, Worker, end_with_parent

from ..common import processes
from ..common.runs import assert_same_run
from ..small_run import ONE_LAYER, QUICKSTART

SPACE = {
    'optim_wrapper.optimizer.lr': dict(low=1e-4, high=1e-2, log=True),
    'custom_hooks.2.schedule.start': dict(low=0.2, high=0.8, step=0.2),
}
SMALL = {
    'train_cfg.max_epochs': 3,
    'train_dataloader.batch_size': 16,
    '+train_dataloader.dataset.indices': 64,
    '+val_dataloader.dataset.indices': 40,
    'param_scheduler.warmup': 0,
}


def write_spec(path, base=(), **search):
    """A sweep file with a search; its path."""
    key, value = ONE_LAYER.split('=')
    search = {**dict(trials=5, space=SPACE, startup=2), **search}
    content = dict(
        name='tiny', config=str(QUICKSTART),
        base={**SMALL, key: int(value), **dict(base)}, search=search,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def make(folder, **search):
    """The folder of a new search."""
    path = write_spec(folder.parent / f'{folder.name}.yaml', **search)
    write_search(folder, *make_search(path))
    return folder


class ForkedRun:
    """A run of tools/train.py, forked; what a worker needs of Popen."""

    def __init__(self, command, log):
        self.returncode = None
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            end_with_parent(parent)
            os.setsid()
            for signum in SIGNALS:
                signal.signal(signum, signal.SIG_DFL)
            port = 20000 + os.getpid() % 10000
            task = ('train.py', command[3:])
            processes._enter(processes._tool, task, log, 0, 1, port)

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self):
        if self.returncode is None:
            _, status = os.waitpid(self.pid, 0)
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, signum):
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class ForkingWorker(Worker):
    """A worker whose runs are forked."""

    def _launch(self, command, log):
        return ForkedRun(command, log)


def work(folder):
    """What a worker process does."""
    search = Search(folder, read_search(folder))
    os._exit(ForkingWorker(search, 'train.py', {}).run())


def start_worker(folder):
    """A worker in a process of its own."""
    process = processes.PROCESSES.Process(target=work, args=(str(folder),))
    process.start()
    return process


def finish(folder, timeout=300):
    """Work on a search to its end; how it ended."""
    process = start_worker(folder)
    process.join(timeout)
    assert process.exitcode == 0, logs(folder)
    return trials(folder)


def iterations(folder):
    """How many all runs have logged."""
    found = folder.glob('runs/*/train_log.json')
    return sum(path.read_text().count('\n') for path in found)


def kill_at(folder, more, signum=signal.SIGKILL):
    """Work for so many more iterations, then be killed; whether it was."""
    goal = iterations(folder) + more
    process = start_worker(folder)
    while process.exitcode is None and iterations(folder) < goal:
        process.join(0.02)
    if process.exitcode is None:
        os.kill(process.pid, signum)
    process.join()
    assert process.exitcode in (0, 75, -signum), logs(folder)
    return process.exitcode != 0


def logs(folder):
    """What the runs wrote."""
    found = sorted((folder / 'logs').glob('*.out'))
    return '\n'.join(path.read_text()[-3000:] for path in found)


def trials(folder):
    """Everything that optuna knows of the trials."""
    found = Search(str(folder), read_search(folder)).trials()
    return [
        (t.number, t.params, t.state.name, t.values, t.intermediate_values,
         t.user_attrs)
        for t in found
    ]  # fmt: skip


def assert_same_search(folder, reference):
    """Trials, logs, weights and optimizers are equal."""
    assert trials(folder) == trials(reference)
    runs = sorted(path.name for path in (reference / 'runs').iterdir())
    assert sorted(path.name for path in (folder / 'runs').iterdir()) == runs
    for name in runs:
        assert_same_run(folder / 'runs' / name, reference / 'runs' / name)
