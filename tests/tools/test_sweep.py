# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""``tools/slurm/sweep.py`` without SLURM; with one it is in tests/slurm."""

import json
import os
import re
import signal
import socket
import sys
import time

import pytest

from mask_plugins.engine.checkpoint.keep_policy import KeepPolicy
from mask_plugins.sweeps import Manifest, SlurmOptions, SweepRun, tables
from mask_plugins.sweeps.prune import prune
from mask_plugins.sweeps.run_status import last_error, sweep_status

from ..common.processes import run_python, start
from ..common.tools import end_of
from ..small_run import QUICKSTART, ROOT, SMALL

SWEEP = ROOT / 'tools' / 'slurm' / 'sweep.py'


def sweep(*options, code=0):
    return run_python(SWEEP, *options, code=code)


def settings(*more):
    keys = tuple(f'{part}_dataloader.dataset.ind' for part in ('train', 'val'))
    pairs = [f'+{s}' if s.startswith(keys) else s for s in (*SMALL, *more)]
    return [part for pair in pairs for part in ('--set', pair)]


def states(folder):
    rows = json.loads(sweep('status', folder, '--json'))
    return [row['state'] for row in rows]


@pytest.mark.slow
def test_run_here_status_and_collect(tmp_path):
    out = tmp_path / 's'
    options = ('--out', out, '--local', '-j', 2, '--keep', 'newest:1')
    said = sweep('run', QUICKSTART, *settings(), '--seeds', '0,1', *options)
    assert '2 of 2 runs done' in said
    assert states(out) == ['done', 'done']
    assert '0 of 0 runs done' in sweep('run', out)
    shown = sweep('status', out)
    assert '2/2 (100 %)' in shown
    assert '2 runs: 2 done' in shown
    sweep('collect', out, '--metrics', 'top-1', 'loss')
    groups = json.loads((out / 'compare_runs.json').read_text())['groups']
    assert groups[0]['n'] == 2
    work_dir = out / 'runs' / 'seed-0'
    assert (work_dir / 'best_accuracy_top1_epoch_1.pth').exists()
    said = sweep('prune', out, '--keep', 'newest:1', '--dry-run')
    assert '2 checkpoints' in said
    assert 'would be freed' in said
    assert '2 checkpoints' in sweep('prune', out, '--keep', 'newest:1')
    assert {p.name for p in work_dir.glob('*.pth')} == {'epoch_1.pth'}


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on(tmp_path):
    out = tmp_path / 's'
    sweep('plan', QUICKSTART, *settings('train_cfg.max_epochs=400'),
          '--set', '+custom_hooks.1.interval=1', '--out', out)  # fmt: skip
    process = start(sys.executable, SWEEP, 'run', out)
    log = out / 'runs' / 'seed-0' / 'train_log.json'
    deadline = time.monotonic() + 300
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 130
    assert 'interrupted: the runs have saved' in said
    assert states(out) == ['preempted']


def test_plan_prints_the_runs_and_the_script(tmp_path):
    said = sweep('plan', QUICKSTART, *settings(), '--seeds', '0,1',
                 '--out', tmp_path, '--throttle', 1)  # fmt: skip
    assert 'runs/seed-1' in said
    # Without it SLURM ends each task without a word.
    assert (tmp_path / 'logs').is_dir()
    assert '#SBATCH --array=0-1%1' in said
    assert '2 runs; --measure estimates the hours' in said


def test_bad_input_is_named(tmp_path):
    said = sweep('plan', QUICKSTART, '--set', 'a=1', code=1)
    assert "error: 'a' is not in the config" in said
    said = sweep('status', tmp_path, code=1)
    assert 'holds no sweep' in said


@pytest.mark.parametrize(
    ('command', 'options', 'message'),
    [
        ('plan', ['--out', 'a b'], r'#SBATCH lines cannot'),
        ('plan', ['--out', 'new/[1]'], r'#SBATCH lines cannot'),
        ('plan', ['--out', 'new', '--stage', 'none'], 'nothing at'),
        ('plan', ['--out', 'new', '--stage', 'data'], 'stage: no path'),
        ('plan', ['--out', 'new', '--keep', 'all'], 'all'),
        ('plan', ['--out', 'new', '--prologue', 'none'], 'none'),
        ('plan', ['--out', 'new', '--pack', '0'], 'pack'),
        ('submit', ['--out', 'new'], 'run --local'),
    ],
)
def test_what_is_refused_writes_nothing(
    tmp_path, monkeypatch, capsys, command, options, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PATH', str(tmp_path))  # without SLURM
    (tmp_path / 'data').mkdir()
    args = (command, QUICKSTART, *settings(), *options)
    code = end_of(monkeypatch, 'slurm/sweep', *args)
    captured = capsys.readouterr()
    assert re.search(message, f'{code}{captured.err}')
    assert os.listdir(tmp_path) == ['data']


def test_the_last_error_of_a_log(tmp_path):
    log = tmp_path / '1_0.out'
    log.write_text(
        'Traceback (most recent call last):\n  File x\n'
        'torch.OutOfMemoryError: CUDA out of memory.\n'
        'srun: error: node1: task 0: Exited with exit code 1\n'
    )
    assert last_error(log) == 'torch.OutOfMemoryError: CUDA out of memory.'
    log.write_text('a\nslurmstepd: error: *** DUE TO TIME LIMIT ***\nb')
    assert 'DUE TO TIME LIMIT' in last_error(log)
    log.write_text('')
    assert last_error(log) == 'the log is empty'


def test_prune_keeps_what_a_run_resumes_from(tmp_path):
    names = ('epoch_1', 'epoch_2', 'epoch_3', 'iter_70', 'best_acc_epoch_2')
    for name in names:
        (tmp_path / f'{name}.pth').write_text('x' * 10)
    (tmp_path / 'last_checkpoint').write_text('/moved/epoch_2.pth')
    removed = prune(tmp_path, KeepPolicy(1, True), dry_run=True)
    assert len(list(tmp_path.glob('*.pth'))) == 5
    assert removed == prune(tmp_path, KeepPolicy(1, True))
    assert [os.path.basename(r.path) for r in removed] == ['epoch_1.pth']
    assert removed[0].size == 10


def test_prune_removes_files_of_a_run_only(tmp_path):
    """Neither folders nor links, nor what a link leads to."""
    outside = tmp_path / 'outside.pth'
    outside.write_text('mine')
    work_dir = tmp_path / 'runs' / 'a'
    (work_dir / 'epoch_1.pth').mkdir(parents=True)
    (work_dir / 'epoch_2.pth').symlink_to(outside)
    for name in ('epoch_3', 'epoch_4', 'best_model', 'best_acc_iter_3'):
        (work_dir / f'{name}.pth').write_text('x')
    removed = prune(work_dir, KeepPolicy())
    assert {os.path.basename(r.path) for r in removed} == {
        'epoch_3.pth', 'best_acc_iter_3.pth',
    }  # fmt: skip
    left = {path.name for path in work_dir.iterdir()}
    assert left == {
        'epoch_1.pth', 'epoch_2.pth', 'epoch_4.pth', 'best_model.pth',
    }  # fmt: skip
    assert outside.read_text() == 'mine'
    (tmp_path / 'link').symlink_to(tmp_path / 'runs')
    (tmp_path / 'runs' / 'b').symlink_to(work_dir)
    for folder in (tmp_path / 'link' / 'a', tmp_path / 'runs' / 'b'):
        with pytest.raises(ValueError, match='is a link'):
            prune(folder, KeepPolicy())


@pytest.mark.parametrize('pid', ['abc', [1], -1, 0, True, 1.5, 2**40, None])
def test_a_pid_that_is_none_is_not_a_running_process(tmp_path, pid):
    run = SweepRun(0, 'a', 'c.py', {'randomness.seed': 0})
    work_dir = tmp_path / 'runs' / 'a'
    work_dir.mkdir(parents=True)
    state = dict(
        state='running', pid=pid, host=socket.gethostname(), max_iters='9',
        problem=3, reason=[], time=[],
    )  # fmt: skip
    (work_dir / 'run_state.json').write_text(json.dumps(state))
    (work_dir / 'train_log.json').write_text(
        '{"iteration": "x", "time": true}\n[1]\n' + '[' * 9999 + '\n'
    )
    manifest = Manifest(str(tmp_path), 's', [run], SlurmOptions())
    (status,) = sweep_status(manifest)
    assert status.state == 'failed'
    assert not status.active
    tables.status_page([status], 'acc1')


def test_a_slurm_that_does_not_answer_is_not_an_empty_one(
    tmp_path, monkeypatch
):
    """Runs that run must not be started a second time."""
    from mask_plugins.sweeps import slurm_client
    from mask_plugins.sweeps.chunks import Chunk

    monkeypatch.setenv('PATH', str(tmp_path))
    assert slurm_client.queue() == {}
    squeue = tmp_path / 'squeue'
    squeue.write_text('#!/bin/sh\necho no controller >&2\nexit 1\n')
    squeue.chmod(0o755)
    with pytest.raises(OSError, match='squeue: no controller'):
        slurm_client.queue()
    squeue.write_text('#!/bin/sh\necho "7|3|RUNNING|29:07|node1"\n')
    task = slurm_client.queue()['7', 3]
    assert task.runs
    assert task.time_left == '29:07'
    with pytest.raises(OSError, match=r'run --local.* works without'):
        slurm_client.submit('x', str(tmp_path), Chunk([0]))
