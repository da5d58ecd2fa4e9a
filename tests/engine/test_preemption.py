# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A run that is told to stop, and started again, is the undisturbed run."""

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from mask_plugins.engine.checkpoint.run_state import (
    EXIT_NOT_SAVED,
    EXIT_PREEMPTED,
    read_state,
)
from mask_plugins.engine.hooks import PreemptionHook

from ..common.runs import assert_same_run, load, load_last, log_lines, names
from .resume_runs import ITERATIONS, PERSISTENT, at, run

# Four iterations and a validation of three per epoch.
PLACES = dict(
    first=('after_train_iter', 1),
    middle=('after_train_iter', 6),
    before_iter=('before_train_iter', 7),
    end_of_epoch=('after_train_iter', 8),
    validation=('after_val_iter', 4),
    last=('after_train_iter', 12),
    last_validation=('after_val_iter', 8),
)
FAST = [('middle', 0), ('before_iter', 2), ('validation', 1)]
SLOW = [
    (place, workers)
    for place in PLACES
    for workers in range(3)
    if (place, workers) not in FAST
]


def stop(work_dir, place, *signals, code=EXIT_PREEMPTED, **options):
    hooks = at(*PLACES[place], names=signals or ['SIGUSR1'])
    return run(work_dir, code=code, **hooks, **options)


def stop_and_go_on(work_dir, place, **options):
    """The second start says nothing of resuming."""
    stop(work_dir, place, **options)
    state = read_state(work_dir)
    assert state['state'] == 'preempted'
    assert state['resumable']
    assert state['checkpoint'] == (work_dir / 'last_checkpoint').read_text()
    assert load_last(work_dir)['meta']['iter'] == state['iteration']
    run(work_dir, **options)
    assert read_state(work_dir)['state'] == 'done'
    assert not read_state(work_dir)['resumable']
    return state


@pytest.mark.parametrize(
    ('place', 'workers'),
    [*FAST, *[pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]],
)
def test_a_stopped_run_ends_bit_identical(reference, tmp_path, place, workers):
    work_dir = tmp_path / 'run'
    state = stop_and_go_on(work_dir, place, workers=workers)
    assert state['reason'] == 'got SIGUSR1'
    assert state['exit_code'] == EXIT_PREEMPTED
    assert_same_run(work_dir, reference)


def test_stopped_again_and_again(reference, tmp_path):
    """In every iteration of an epoch and of the next; only SIGTERM."""
    work_dir = tmp_path / 'run'
    for done in range(1, 7):
        stop(work_dir, 'first', 'SIGTERM')
        assert read_state(work_dir)['iteration'] == done
        assert names(work_dir, 'iter_*.pth') == [f'iter_{done}.pth']
    run(work_dir)
    assert_same_run(work_dir, reference)


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('place', ['first', 'middle', 'validation'])
def test_iteration_loop(iter_reference, tmp_path, place, workers):
    work_dir = tmp_path / 'run'
    stop_and_go_on(work_dir, place, workers=workers, **ITERATIONS)
    assert_same_run(work_dir, iter_reference)


@pytest.mark.slow
def test_persistent_workers(reference, tmp_path):
    stop_and_go_on(tmp_path / 'run', 'middle', workers=2, **PERSISTENT)
    assert_same_run(tmp_path / 'run', reference)


def test_signals_while_saving_do_not_hurt(reference, tmp_path):
    """Both signals again, in the middle of the checkpoint."""
    work_dir = tmp_path / 'run'
    key = 'default_hooks.checkpoint.backend_args'
    stop(work_dir, 'middle', **{key: dict(backend='test.signal')})
    run(work_dir)
    assert_same_run(work_dir, reference)


@pytest.mark.parametrize('times', [1, 2])
def test_ctrl_c(reference, tmp_path, times):
    """The first stops and saves, a second one interrupts at once."""
    work_dir = tmp_path / 'run'
    code = EXIT_PREEMPTED if times == 1 else 1
    signals = ['SIGINT'] * times
    output = stop(work_dir, 'middle', *signals, code=code, workers=1)
    assert ('KeyboardInterrupt' in output) == (times == 2)
    if times == 1:
        assert read_state(work_dir)['reason'] == 'got SIGINT'
    assert (work_dir / 'iter_6.pth').exists() == (times == 1)
    run(work_dir, '--resume')
    assert_same_run(work_dir, reference)


def test_out_of_time(reference, tmp_path):
    work_dir = tmp_path / 'run'
    limit = {'default_hooks.preemption.max_time': 1e-9}
    run(work_dir, code=EXIT_PREEMPTED, **limit)
    assert read_state(work_dir)['reason'] == 'max_time=0:00:00 is over'
    assert read_state(work_dir)['iteration'] == 1
    run(work_dir)
    assert_same_run(work_dir, reference)


def test_the_iteration_of_an_update_is_waited_for(tmp_path):
    """Gathered gradients are in no checkpoint."""
    options = {'optim_wrapper.accumulative_counts': 4}
    run(tmp_path / 'reference', **options)
    state = stop_and_go_on(tmp_path / 'run', 'middle', **options)
    assert state['iteration'] == 8
    assert_same_run(tmp_path / 'run', tmp_path / 'reference')


def test_nothing_that_was_trained_is_loaded_again(tmp_path):
    """Of 12 iterations of 8 samples, 6 were trained."""
    work_dir = tmp_path / 'run'
    stop(work_dir, 'middle')
    run(work_dir, hooks=[dict(type='mask_plugins.CountLoadsHook')])
    assert len((work_dir / 'loads.txt').read_text().split()) == 6 * 8


def test_a_kill_after_the_preemption_is_a_kill_as_any(reference, tmp_path):
    """The mark stays until the run is done."""
    work_dir = tmp_path / 'run'
    stop(work_dir, 'middle')
    run(work_dir, code=-signal.SIGKILL, **at('after_train_iter', 4))
    assert read_state(work_dir)['state'] == 'running'
    assert read_state(work_dir)['resumable']
    run(work_dir)
    assert_same_run(work_dir, reference)


@pytest.mark.slow
def test_another_batch_size_goes_on_with_a_warning(tmp_path):
    work_dir = tmp_path / 'run'
    stop(work_dir, 'middle')
    output = run(work_dir, **{'train_dataloader.batch_size': 4})
    assert '2 of 4 batches of an epoch that now has 8: 4 are skipped' in output
    # 6 iterations, then 4 and 8 more.
    assert len(log_lines(work_dir)) == 18


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
def test_a_full_disk_keeps_the_checkpoint_before(reference, small_disk, late):
    """Full from the second epoch on; then there is room again."""
    work_dir = small_disk / 'run'
    hooks = at(*PLACES['middle'], priority='VERY_HIGH', stop=late)
    hooks['hooks'][0]['type'] = 'mask_plugins.FillDiskHook'
    output = run(work_dir, code=EXIT_NOT_SAVED if late else 1, **hooks)
    assert 'epoch_1.pth is kept' in output
    last = Path((work_dir / 'last_checkpoint').read_text())
    assert last.name == 'epoch_1.pth'
    assert load(last)['meta']['iter'] == 4
    assert names(work_dir, '.*tmp') == []
    if not late:  # it went on and ended with an error
        assert 'the last checkpoint of the run is missing' in output
    (small_disk / 'filler').unlink()
    run(work_dir, *([] if late else ['--resume']))
    assert_same_run(work_dir, reference)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(signals=['SIGFOO']), r"got \['SIGFOO'\]"),
        (dict(signals='SIGTERM'), "got 'SIGTERM'"),
        (dict(max_time='soon'), "got 'soon'"),
        (dict(interval=0), 'got 0'),
        (dict(stop_epoch=0), 'stop_epoch must be'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        PreemptionHook(**options)


def test_a_run_stops_after_an_epoch(reference, tmp_path):
    """As a search asks for: validated and saved, then it continues."""
    work_dir, key = tmp_path / 'run', 'default_hooks.preemption.stop_epoch'
    for epoch in (1, 2):
        run(work_dir, code=EXIT_PREEMPTED, **{key: epoch})
        state = read_state(work_dir)
        assert (state['stop_epoch'], state['iteration']) == (epoch, 4 * epoch)
        assert state['reason'] == f'epoch {epoch} is over'
        assert len(log_lines(work_dir, 'val_log.json')) == epoch
    run(work_dir)
    assert 'stop_epoch' not in read_state(work_dir)
    assert_same_run(work_dir, reference)


def test_an_epoch_to_stop_at_has_to_be_saved(tmp_path):
    options = {
        'default_hooks.preemption.stop_epoch': 1,
        'default_hooks.checkpoint.interval': 2,
    }
    said = run(tmp_path / 'run', code=1, **options)
    assert 'stop_epoch=1: no checkpoint was saved after this epoch' in said
