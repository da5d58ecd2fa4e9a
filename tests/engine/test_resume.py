# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A killed and resumed run is the uninterrupted run, bit for bit."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
TIMES = ('time', 'cpu_time', 'gpu_time', 'memory')


@pytest.fixture(scope='module')
def run():
    """Train in a fresh process, which may be killed, or end with a code."""
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    script = str(Path(__file__).with_name('resume_runs.py'))
    server = subprocess.Popen(
        [sys.executable, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
        text=True,
    )

    def request(work_dir, killed=False, code=0, **options):
        options['work_dir'] = str(work_dir)
        server.stdin.write(json.dumps(options) + '\n')
        server.stdin.flush()
        status = json.loads(server.stdout.readline())
        output = (Path(work_dir) / 'output.txt').read_text()
        expected = -signal.SIGKILL if killed else code
        assert os.waitstatus_to_exitcode(status) == expected, output
        return output

    yield request
    server.stdin.close()
    server.wait()


@pytest.fixture(scope='module')
def reference(run, tmp_path_factory):
    """The work_dir of an uninterrupted run without workers."""
    work_dir = tmp_path_factory.mktemp('reference') / 'run'
    run(work_dir)
    return work_dir


@pytest.fixture(scope='module')
def iter_reference(run, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('iter_reference') / 'run'
    run(work_dir, loop='iter')
    return work_dir


def log_lines(work_dir, name):
    lines = (work_dir / name).read_text().splitlines()
    values = [json.loads(line) for line in lines]
    for value in values:
        for key in TIMES:
            assert value.pop(key, 0) >= 0
    return values


def flatten(value, path=''):
    """(key path, leaf) of nested containers."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flatten(item, f'{path}.{key}')
    elif isinstance(value, (list, tuple)):
        for key, item in enumerate(value):
            yield from flatten(item, f'{path}.{key}')
    else:
        yield path, value


def is_same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    return a == b


def assert_same_run(work_dir, reference):
    """Weights, EMA, optimizer, schedulers, log histories, logs, best."""
    names = {p.name for p in reference.glob('*.pth')}
    assert {p.name for p in work_dir.glob('*.pth')} == names
    last = [
        Path((folder / 'last_checkpoint').read_text()).name
        for folder in (work_dir, reference)
    ]
    assert last[0] == last[1]
    a, b = (
        torch.load(folder / last[0], weights_only=True)
        for folder in (work_dir, reference)
    )
    for checkpoint in (a, b):
        scalars = checkpoint['message_hub']['log_scalars']
        for key in list(scalars):
            if key.split('/')[-1] in ('time', 'data_time', 'memory'):
                scalars.pop(key)
    assert set(a) == set(b)
    keys = ['state_dict', 'optimizer']
    keys += [k for k in ('ema_state_dict', 'param_schedulers') if k in b]
    for part in (*keys, 'message_hub.log_scalars'):
        old, new = b, a
        for key in part.split('.'):
            old, new = old[key], new[key]
        old, new = dict(flatten(old)), dict(flatten(new))
        assert set(old) == set(new)
        different = [key for key in old if not is_same(old[key], new[key])]
        assert not different, f'{part}: {different}'
    info = [c['message_hub']['runtime_info'] for c in (a, b)]
    for key in ('best_score', 'keep_ckpt_ids', 'last_validated_iter'):
        assert info[0].get(key) == info[1].get(key)
    for name in ('train_log.json', 'val_log.json'):
        if name == 'train_log.json' or (reference / name).exists():
            assert log_lines(work_dir, name) == log_lines(reference, name)
    assert not list(work_dir.glob('.*tmp'))


def kill_and_resume(run, work_dir, resume=None, **options):
    death = {
        key: options.pop(key) for key in ('hook', 'backend') if key in options
    }
    run(work_dir, killed=True, **death, **options)
    return run(work_dir, resume=True, **{**options, **(resume or {})})


# Where a run dies. There are 4 iterations and one validation per epoch, and
# each checkpoint is a write, as are `last_checkpoint` and a new best.
IN_EPOCH = dict(hook=dict(point='after_train_iter', count=7))
WHILE_SAVING = dict(backend=(3, 'half'))
SAVED = dict(backend=(3, 'whole'))
BEFORE_VAL = dict(hook=dict(point='before_val', count=2))
IN_VAL = dict(hook=dict(point='after_val_iter', count=5))
BEFORE_BEST = dict(hook=dict(point='after_val_epoch', count=2, priority='LOW'))
BEST_HALF = dict(backend=(5, 'half'))
LAST_VAL = dict(hook=dict(point='before_val', count=3))
AFTER_TRAIN = dict(hook=dict(point='after_train', count=1))
FIRST_EPOCH = dict(hook=dict(point='after_train_iter', count=2))
DEATHS = dict(
    in_epoch=IN_EPOCH,
    while_saving=WHILE_SAVING,
    saved=SAVED,
    before_val=BEFORE_VAL,
    in_val=IN_VAL,
    before_best=BEFORE_BEST,
    best_half=BEST_HALF,
    last_val=LAST_VAL,
    after_train=AFTER_TRAIN,
    first_epoch=FIRST_EPOCH,
)


FAST = [('in_epoch', 2), ('while_saving', 0), ('before_val', 1)]
SLOW = [
    (death, workers)
    for death, _ in FAST
    for workers in range(3)
    if (death, workers) not in FAST
] + [(death, 1) for death in DEATHS if death not in dict(FAST)]


@pytest.mark.parametrize(
    ('death', 'workers'),
    [*FAST, *[pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]],
)
def test_killed_run_resumes_exactly(run, reference, tmp_path, death, workers):
    work_dir = tmp_path / 'run'
    kill_and_resume(run, work_dir, workers=workers, **DEATHS[death])
    assert_same_run(work_dir, reference)


def test_number_of_workers_does_not_matter(run, reference, tmp_path):
    run(tmp_path / 'run', workers=2, persistent=True)
    assert_same_run(tmp_path / 'run', reference)


def test_another_seed_is_another_run(run, reference, tmp_path):
    """The comparison can fail."""
    run(tmp_path / 'run', seed=8)
    with pytest.raises(AssertionError):
        assert_same_run(tmp_path / 'run', reference)


@pytest.mark.slow
def test_persistent_workers_resume_exactly(run, reference, tmp_path):
    work_dir = tmp_path / 'run'
    options = dict(workers=2, persistent=True)
    kill_and_resume(run, work_dir, **options, **IN_EPOCH)
    assert_same_run(work_dir, reference)


@pytest.mark.slow
def test_workers_may_change_on_resume(run, reference, tmp_path):
    work_dir = tmp_path / 'run'
    resume = dict(workers=2)
    kill_and_resume(run, work_dir, resume=resume, workers=0, **IN_EPOCH)
    assert_same_run(work_dir, reference)


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('death', ['in_epoch', 'before_val', 'while_saving'])
def test_iteration_loop_resumes_exactly(
    run, iter_reference, tmp_path, death, workers
):
    work_dir = tmp_path / 'run'
    options = dict(loop='iter', workers=workers)
    kill_and_resume(run, work_dir, **options, **DEATHS[death])
    assert_same_run(work_dir, iter_reference)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['InfiniteSampler', 'RepeatAugSampler'])
def test_repeating_samplers_resume_exactly(run, tmp_path, name):
    options = dict(sampler=dict(type=name, shuffle=True))
    if name == 'InfiniteSampler':
        options['loop'] = 'iter'
    run(tmp_path / 'reference', **options)
    work_dir = tmp_path / 'run'
    kill_and_resume(run, work_dir, workers=2, **options, **IN_EPOCH)
    assert_same_run(work_dir, tmp_path / 'reference')


@pytest.mark.slow
def test_unset_seed_is_restored_in_an_iteration_loop(run, tmp_path):
    """Workers start before the resumed seed is known, and must not matter."""
    options = dict(loop='iter', workers=2, seed=None)
    work_dir = tmp_path / 'run'
    run(work_dir, killed=True, **IN_EPOCH, **options)
    before = log_lines(work_dir, 'train_log.json')
    checkpoint = next(work_dir.glob('iter_*.pth'))
    seed = torch.load(checkpoint, weights_only=True)['meta']['seed']
    run(work_dir, resume=True, **options)
    run(tmp_path / 'reference', **{**options, 'seed': seed})
    assert_same_run(work_dir, tmp_path / 'reference')
    lines = log_lines(work_dir, 'train_log.json')
    assert lines[: len(before)] == before
