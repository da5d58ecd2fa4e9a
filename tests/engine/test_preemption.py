# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A run that is told to stop, and started again, is the undisturbed run."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from mask_plugins.engine.checkpoint.run_state import (
    EXIT_NOT_SAVED,
    EXIT_PREEMPTED,
    read_state,
)
from mask_plugins.engine.hooks import PreemptionHook

from .test_resume import (
    assert_same_run,
    iter_reference,  # noqa: F401  (a fixture)
    log_lines,
    reference,  # noqa: F401
    run,  # noqa: F401
)

# Four iterations and a validation of three per epoch.
FIRST = dict(point='after_train_iter', count=1)
MIDDLE = dict(point='after_train_iter', count=6)
BEFORE_ITER = dict(point='before_train_iter', count=7)
END_OF_EPOCH = dict(point='after_train_iter', count=8)
VALIDATION = dict(point='after_val_iter', count=4)
LAST = dict(point='after_train_iter', count=12)
LAST_VALIDATION = dict(point='after_val_iter', count=8)
PLACES = dict(
    first=FIRST,
    middle=MIDDLE,
    before_iter=BEFORE_ITER,
    end_of_epoch=END_OF_EPOCH,
    validation=VALIDATION,
    last=LAST,
    last_validation=LAST_VALIDATION,
)
FAST = [('middle', 0), ('before_iter', 2), ('validation', 1)]
SLOW = [
    (place, workers)
    for place in PLACES
    for workers in range(3)
    if (place, workers) not in FAST
]


def signal_hook(place, **more):
    hook = PLACES[place] if isinstance(place, str) else place
    return dict(type='mask_plugins.SignalHook', **hook, **more)


def stop(run, work_dir, place, names=('SIGUSR1',), **options):  # noqa: F811
    return run(
        work_dir,
        code=EXIT_PREEMPTED,
        preempt=options.pop('preempt', {}),
        hook=signal_hook(place, names=names),
        **options,
    )


def stop_and_go_on(run, work_dir, place, **options):  # noqa: F811
    """The second start says nothing of resuming."""
    stop(run, work_dir, place, **options)
    state = read_state(work_dir)
    assert state['state'] == 'preempted'
    assert state['resumable']
    last = (work_dir / 'last_checkpoint').read_text()
    assert state['checkpoint'] == last
    checkpoint = torch.load(last, weights_only=True)
    assert checkpoint['meta']['iter'] == state['iteration']
    options.pop('names', None)
    output = run(work_dir, preempt={}, **options)
    assert read_state(work_dir)['state'] == 'done'
    assert not read_state(work_dir)['resumable']
    return state, output


@pytest.mark.parametrize(
    ('place', 'workers'),
    [*FAST, *[pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]],
)
def test_a_stopped_run_ends_bit_identical(
    run, reference, tmp_path, place, workers  # noqa: F811
):  # fmt: skip
    work_dir = tmp_path / 'run'
    state, _ = stop_and_go_on(run, work_dir, place, workers=workers)
    assert state['reason'] == 'got SIGUSR1'
    assert state['exit_code'] == EXIT_PREEMPTED
    assert_same_run(work_dir, reference)


def test_stopped_in_every_iteration(run, reference, tmp_path):  # noqa: F811
    """Twelve times, also twice inside one epoch; only SIGTERM this time."""
    work_dir = tmp_path / 'run'
    for done in range(1, 13):
        stop(run, work_dir, FIRST, names=['SIGTERM'])
        assert read_state(work_dir)['iteration'] == done
        files = {p.name for p in work_dir.glob('iter_*.pth')}
        assert files == {f'iter_{done}.pth'}
    run(work_dir, preempt={})
    assert_same_run(work_dir, reference)


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('place', ['first', 'middle', 'validation'])
def test_iteration_loop(
    run, iter_reference, tmp_path, place, workers  # noqa: F811
):  # fmt: skip
    work_dir = tmp_path / 'run'
    stop_and_go_on(run, work_dir, place, workers=workers, loop='iter')
    assert_same_run(work_dir, iter_reference)


@pytest.mark.slow
def test_persistent_workers(run, reference, tmp_path):  # noqa: F811
    options = dict(workers=2, persistent=True)
    stop_and_go_on(run, tmp_path / 'run', 'middle', **options)
    assert_same_run(tmp_path / 'run', reference)


def test_signals_while_saving_do_not_hurt(
    run, reference, tmp_path  # noqa: F811
):  # fmt: skip
    """Both signals again, in the middle of the checkpoint."""
    work_dir = tmp_path / 'run'
    run(
        work_dir,
        code=EXIT_PREEMPTED,
        preempt={},
        hook=signal_hook(MIDDLE),
        options=dict(backend_args=dict(backend='test.signal')),
    )
    run(work_dir, preempt={})
    assert_same_run(work_dir, reference)


@pytest.mark.parametrize('times', [1, 2])
def test_ctrl_c(run, reference, tmp_path, times):  # noqa: F811
    """The first stops and saves, a second one interrupts at once."""
    work_dir = tmp_path / 'run'
    hook = signal_hook('middle', names=['SIGINT'] * times)
    code = EXIT_PREEMPTED if times == 1 else 1
    output = run(work_dir, code=code, preempt={}, hook=hook, workers=1)
    assert ('KeyboardInterrupt' in output) == (times == 2)
    if times == 1:
        assert read_state(work_dir)['reason'] == 'got SIGINT'
    assert (work_dir / 'iter_6.pth').exists() == (times == 1)
    run(work_dir, preempt={}, resume=True)
    assert_same_run(work_dir, reference)


def test_out_of_time(run, reference, tmp_path):  # noqa: F811
    work_dir = tmp_path / 'run'
    run(work_dir, code=EXIT_PREEMPTED, preempt=dict(max_time=1e-9))
    assert read_state(work_dir)['reason'] == 'max_time=0:00:00 is over'
    assert read_state(work_dir)['iteration'] == 1
    run(work_dir, preempt={})
    assert_same_run(work_dir, reference)


def test_the_iteration_of_an_update_is_waited_for(
    run, tmp_path  # noqa: F811
):  # fmt: skip
    """Gathered gradients are in no checkpoint."""
    run(tmp_path / 'reference', accumulate=4)
    state, _ = stop_and_go_on(run, tmp_path / 'run', 'middle', accumulate=4)
    assert state['iteration'] == 8
    assert_same_run(tmp_path / 'run', tmp_path / 'reference')


def test_nothing_that_was_trained_is_loaded_again(
    run, tmp_path  # noqa: F811
):  # fmt: skip
    """96 samples in two epochs... 64 of them after 6 of 12 iterations."""
    work_dir = tmp_path / 'run'
    stop(run, work_dir, 'middle')
    hook = dict(type='mask_plugins.CountLoadsHook')
    run(work_dir, preempt={}, hook=hook)
    loads = (work_dir / 'loads.txt').read_text().split()
    # Of 12 iterations of 16 samples, 6 were trained.
    assert len(loads) == 6 * 16


def test_a_kill_after_the_preemption_is_a_kill_as_any(
    run, reference, tmp_path  # noqa: F811
):  # fmt: skip
    """The mark stays until the run is done."""
    work_dir = tmp_path / 'run'
    stop(run, work_dir, 'middle')
    run(work_dir, killed=True, preempt={}, hook=MIDDLE_OF_THE_REST)
    assert read_state(work_dir)['state'] == 'running'
    assert read_state(work_dir)['resumable']
    run(work_dir, preempt={})
    assert_same_run(work_dir, reference)


MIDDLE_OF_THE_REST = dict(point='after_train_iter', count=4)


@pytest.mark.slow
def test_another_batch_size_goes_on_with_a_warning(
    run, tmp_path  # noqa: F811
):  # fmt: skip
    work_dir = tmp_path / 'run'
    stop(run, work_dir, 'middle')
    output = run(work_dir, preempt={}, batch_size=8)
    assert '2 of 4 batches of an epoch that now has 8: 4 are skipped' in output
    # 6 iterations, then 4 and 8 more.
    assert len(log_lines(work_dir, 'train_log.json')) == 18


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', str(folder)]
    if (
        shutil.which('mount') is None
        or subprocess.run(command, capture_output=True).returncode
    ):
        pytest.skip('a file system can only be mounted by root')
    yield folder
    subprocess.run(['umount', '--lazy', str(folder)], check=True)


@pytest.mark.parametrize('late', [True, False], ids=['preempted', 'saving'])
def test_a_full_disk_keeps_the_checkpoint_before(
    run, reference, small_disk, late  # noqa: F811
):  # fmt: skip
    """Full from the second epoch on; then there is room again."""
    work_dir = small_disk / 'run'
    full = dict(point='after_train_iter', count=6, priority='VERY_HIGH')
    hook = dict(type='mask_plugins.FillDiskHook', **full, stop=late)
    code = EXIT_NOT_SAVED if late else 1
    output = run(work_dir, code=code, preempt={}, hook=hook)
    assert 'epoch_1.pth is kept' in output
    last = Path((work_dir / 'last_checkpoint').read_text())
    assert last.name == 'epoch_1.pth'
    assert torch.load(last, weights_only=True)['meta']['iter'] == 4
    assert not list(work_dir.glob('.*tmp'))
    if not late:  # it went on and ended with an error
        assert 'the last checkpoint of the run is missing' in output
    (small_disk / 'filler').unlink()
    run(work_dir, preempt={}, resume=not late)
    assert_same_run(work_dir, reference)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(signals=['SIGFOO']), r"got \['SIGFOO'\]"),
        (dict(signals='SIGTERM'), "got 'SIGTERM'"),
        (dict(max_time='soon'), "got 'soon'"),
        (dict(interval=0), 'got 0'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        PreemptionHook(**options)
