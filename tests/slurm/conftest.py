# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One cluster for all tests, and sweeps on it."""

import contextlib
import io
import json
import sys
import time
from pathlib import Path

import pytest

from ..common.processes import start
from ..common.tools import run_tool
from ..small_run import ONE_LAYER, QUICKSTART, ROOT
from .cluster import cluster

BIN = Path(sys.executable).parent
# 3 epochs of 180 iterations: some seconds, so that a signal finds the run
# inside an epoch. Every log line is written at once: tests look at them.
LONG = (
    ONE_LAYER,
    'train_cfg.max_epochs=3',
    'train_dataloader.batch_size=8',
    '+val_dataloader.dataset.indices=20',
    'param_scheduler.warmup=0',
    '+custom_hooks.1.interval=1',
)
ITERATIONS = 180
# In place of Python: a training that is done at once.
STUB = """#!/usr/bin/env bash
if [ "$1" = -c ]; then echo train.py; exit; fi
while [ "$1" != --work-dir ]; do shift; done
mkdir -p "$2"
echo '{"state": "done"}' >"$2/run_state.json"
"""
# A second or two.
TINY = (
    *LONG,
    'train_cfg.max_epochs=2',
    '+train_dataloader.dataset.indices=64',
)


def plain(settings):
    """The settings as --cfg-options has them, without the mark of new keys."""
    return [text.lstrip('+') for text in settings]


@pytest.fixture(scope='session')
def slurm():
    """A cluster of one node."""
    with cluster() as one:
        yield one


class Sweep:
    """A sweep in a folder, driven through the command line."""

    def __init__(self, slurm, folder):
        self.slurm = slurm
        self.folder = folder

    def __call__(self, command, *options):
        """What a subcommand of sweep.py prints.

        In this process, which has torch imported already: in one of its own
        each call would take seconds.
        """
        out = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for name in ('PATH', 'SLURM_CONF'):
                patch.setenv(name, self.slurm.env[name])
            patch.chdir(ROOT)
            with contextlib.redirect_stdout(out):
                with pytest.raises(SystemExit) as end:
                    run_tool(patch, 'slurm/sweep', command, *options)
        assert end.value.code == 0, f'{end.value.code}\n{out.getvalue()}'
        return out.getvalue()

    def submit(self, settings, *options, seeds='0'):
        """Plan and submit in one; the job id."""
        return self.job(self(*self.plan(settings, *options, seeds=seeds)))

    def plan(self, settings, *options, seeds='0'):
        """The command that plans and submits in one."""
        sets = [part for text in settings for part in ('--set', text)]
        return [
            'submit', QUICKSTART, *sets, '--seeds', seeds,
            '--out', self.folder, *options,
        ]  # fmt: skip

    @staticmethod
    def job(out):
        """The job id of what was submitted."""
        return out.split('submitted array ')[1].split()[0]

    def run(self, index=0):
        """The work_dir of a run."""
        manifest = json.loads((self.folder / 'manifest.json').read_text())
        return self.folder / 'runs' / manifest['runs'][index]['name']

    def states(self):
        """The state of each run, as `status` says it."""
        rows = json.loads(self('status', self.folder, '--json'))
        return [row['state'] for row in rows]

    def log(self, index=0):
        """All that the tasks of a run wrote."""
        logs = sorted((self.folder / 'logs').glob(f'*_{index}.out'))
        return '\n'.join(path.read_text() for path in logs)

    def state(self, index=0):
        """The content of run_state.json."""
        path = self.run(index) / 'run_state.json'
        return json.loads(path.read_text()) if path.exists() else {}

    def wait(self, condition, what, seconds=120):
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                queue = self.slurm.run('squeue', '--all')
                pytest.fail(f'{what}: not in time.\n{queue}\n{self.log()}')
            time.sleep(0.1)

    def wait_for_done(self, count=1):
        """Wait until all of the first runs are done."""

        def done():
            states = [self.state(index).get('state') for index in range(count)]
            return set(states) == {'done'}

        self.wait(done, 'done')

    def wait_for_iteration(self, iteration, index=0):
        """Wait until a run has logged so many iterations."""

        def there():
            path = self.run(index) / 'train_log.json'
            return path.exists() and path.read_bytes().count(b'\n') > iteration

        self.wait(there, f'iteration {iteration}')


@pytest.fixture(scope='session')
def make_sweep(slurm, tmp_path_factory):
    """Sweeps by name, each in a folder of its own."""

    def make(name):
        return Sweep(slurm, tmp_path_factory.mktemp(name) / 'sweep')

    return make


@pytest.fixture(scope='session')
def stub(tmp_path_factory):
    """A prologue with which a task trains nothing and is done."""
    folder = tmp_path_factory.mktemp('stub')
    python = folder / 'python'
    python.write_text(STUB)
    python.chmod(0o755)
    prologue = folder / 'prologue.sh'
    prologue.write_text(f'MASK_PLUGINS_PYTHON={python}\n')
    return prologue


@pytest.fixture(scope='session')
def jobs(slurm, make_sweep, stub, tmp_path_factory):
    """Everything that runs for long, started at once."""
    sweeps = {}

    def submit(name, settings, *options, **kwargs):
        sweeps[name] = make_sweep(name)
        sweeps[name].id = sweeps[name].submit(settings, *options, **kwargs)

    # Nothing begins before all of it is there.
    node = ('scontrol', 'update', 'nodename=node1')
    slurm.run(*node, 'state=drain', 'reason=submitting')
    endless = (*LONG, 'train_cfg.max_epochs=1000')
    # A time limit is a minute at least, and looked at twice a minute.
    # Out of the way of the others.
    prologue = tmp_path_factory.mktemp('prologue') / 'nice.sh'
    prologue.write_text(f'renice -n 19 $$\nPATH={BIN}:$PATH\n')
    nice = ('--prologue', prologue)
    submit('limit', endless, *nice, '--time', '1', '--lead', '0')
    options = (*nice, '--time', '2', '--lead', '60', '--max-requeues', 0)
    submit('lead', endless, *options)
    submit('stopped', LONG)
    submit('undisturbed', LONG)
    two = ('--tasks-per-node', 2)
    submit('two_stopped', LONG, *two)
    submit('two_undisturbed', LONG, *two)
    submit('array', TINY, '--throttle', 2, seeds='0,1,2,3')
    slurm.run(*node, 'state=resume')
    # Now, and not when a test of it begins: none of them waits for another.
    stopped, two_stopped = sweeps['stopped'], sweeps['two_stopped']
    stopped.wait_for_iteration(ITERATIONS + 20)
    slurm.run('scancel', '--signal=USR1', f'{stopped.id}_0.0')
    two_stopped.wait_for_iteration(ITERATIONS // 2 + 10)
    slurm.run('scancel', '--batch', '--signal=USR1', f'{two_stopped.id}_0')
    # Only now: the time limits of the first two run since they began.
    three = (*LONG[:1], 'train_cfg.max_epochs=1,3,2', *LONG[2:])
    submit('packed', three, '--pack', 2)
    seeds = ','.join(map(str, range(13)))
    submit('large', TINY, '--prologue', stub, seeds=seeds)
    packed = sweeps['packed']
    packed.wait_for_iteration(20, index=1)
    slurm.run('scancel', '--batch', '--signal=USR1', f'{packed.id}_0')
    yield sweeps
    slurm.run('scancel', '--user=root')


@pytest.fixture(scope='session')
def mim_runs(slurm, jobs, tmp_path_factory):
    """Two tasks, and a grid search, through mim: folder and process."""
    common = [
        '--launcher', 'slurm', '--cpus-per-task', '1', '--partition', 'test',
        '--srun-args', '--gres=none --overcommit', '--yes',
    ]  # fmt: skip
    commands = dict(
        train=['--gpus', '2', '--gpus-per-node', '2'],
        gridsearch=[
            '--gpus', '1', '--gpus-per-node', '1', '--max-jobs', '2',
            '--search-args', '--optim_wrapper.optimizer.lr 0.001 0.002',
        ],
    )  # fmt: skip
    started = {}
    for name, options in commands.items():
        work_dir = tmp_path_factory.mktemp(name) / 'run'
        command = [
            sys.executable, '-m', 'mim', name, 'mask_plugins',
            QUICKSTART.name, *options, *common, '--work-dir', work_dir,
            '--cfg-options', *plain(TINY),
        ]  # fmt: skip
        started[name] = work_dir, start(*command, cwd=ROOT, env=slurm.env)
    yield started
    for _, process in started.values():
        process.kill()
        process.wait()
