# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A killed and resumed run is the uninterrupted run, bit for bit.

All methods, on one process and on two, are in test_methods.py.
"""

import signal

import pytest

from ..common.runs import assert_same_run, load, log_lines
from .resume_runs import ITERATIONS, PERSISTENT, at, run


def kill_and_resume(work_dir, death, resume=None, **options):
    run(work_dir, code=-signal.SIGKILL, **death, **options)
    return run(work_dir, '--resume', **{**options, **(resume or {})})


def writing(left, where):
    """A run dies in its n-th write: of a checkpoint or a new best."""
    key = 'default_hooks.checkpoint.backend_args'
    return {key: dict(backend='test.kill', left=left, where=where)}


DEATHS = dict(
    in_epoch=at('after_train_iter', 7),
    while_saving=writing(3, 'half'),
    saved=writing(3, 'whole'),
    before_val=at('before_val', 2),
    in_val=at('after_val_iter', 4),
    before_best=at('after_val_epoch', 2, priority='LOW'),
    best_half=writing(5, 'half'),
    last_val=at('before_val', 3),
    after_train=at('after_train', 1),
    first_epoch=at('after_train_iter', 2),
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
def test_killed_run_resumes_exactly(reference, tmp_path, death, workers):
    work_dir = tmp_path / 'run'
    kill_and_resume(work_dir, DEATHS[death], workers=workers)
    assert_same_run(work_dir, reference)


def test_another_seed_is_another_run(reference, tmp_path):
    """The comparison can fail."""
    run(tmp_path / 'run', **{'randomness.seed': 8})
    with pytest.raises(AssertionError):
        assert_same_run(tmp_path / 'run', reference)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('first', 'then'),
    [
        (dict(workers=2, **PERSISTENT), {}),
        (dict(workers=0), dict(workers=2)),
    ],
    ids=['persistent', 'changed'],
)
def test_number_of_workers_does_not_matter(reference, tmp_path, first, then):
    work_dir = tmp_path / 'run'
    kill_and_resume(work_dir, DEATHS['in_epoch'], then, **first)
    assert_same_run(work_dir, reference)


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('death', ['in_epoch', 'before_val', 'while_saving'])
def test_iteration_loop_resumes_exactly(
    iter_reference, tmp_path, death, workers
):
    work_dir = tmp_path / 'run'
    kill_and_resume(work_dir, DEATHS[death], workers=workers, **ITERATIONS)
    assert_same_run(work_dir, iter_reference)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['InfiniteSampler', 'RepeatAugSampler'])
def test_repeating_samplers_resume_exactly(tmp_path, name):
    loop = ITERATIONS if name == 'InfiniteSampler' else {}
    options = {**loop, 'train_dataloader.sampler.type': name}
    run(tmp_path / 'reference', **options)
    work_dir = tmp_path / 'run'
    kill_and_resume(work_dir, DEATHS['in_epoch'], workers=2, **options)
    assert_same_run(work_dir, tmp_path / 'reference')


@pytest.mark.slow
def test_unset_seed_is_restored_in_an_iteration_loop(tmp_path):
    """Workers start before the resumed seed is known, and must not matter."""
    options = {**ITERATIONS, 'workers': 2, 'randomness.seed': None}
    work_dir = tmp_path / 'run'
    run(work_dir, code=-signal.SIGKILL, **DEATHS['in_epoch'], **options)
    before = log_lines(work_dir)
    seed = load(next(work_dir.glob('iter_*.pth')))['meta']['seed']
    run(work_dir, '--resume', **options)
    run(tmp_path / 'reference', **{**options, 'randomness.seed': seed})
    assert_same_run(work_dir, tmp_path / 'reference')
    assert log_lines(work_dir)[: len(before)] == before


@pytest.mark.slow
@pytest.mark.parametrize('loop', ['epoch', 'iter'])
def test_token_budget_resumes_exactly(tmp_path, loop):
    """Killed inside an epoch, with other workers: the same batches."""
    more = dict(method='pss-budget', **(ITERATIONS if loop == 'iter' else {}))
    whole, work_dir = tmp_path / 'whole', tmp_path / 'run'
    run(whole, **more)
    death = at('after_train_iter', 5)
    kill_and_resume(work_dir, death, dict(workers=2), workers=1, **more)
    assert_same_run(work_dir, whole)
    sizes = [line['batch_size'] for line in log_lines(whole, 'train_log.json')]
    assert len(set(sizes)) > 1
