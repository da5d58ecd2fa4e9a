# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Two processes: killed or stopped, and resumed, is uninterrupted.

The model has BatchNorm, an EMA and a teacher whose statistics, which differ
between the ranks inside an epoch, decide on the gradients.
"""

import math
import signal

import pytest
from mmengine.runner import load_checkpoint

from mask_plugins.engine.checkpoint.run_state import read_state

from ..common.processes import run_ranks
from ..common.runs import load, train
from . import ddp_run
from .test_resume import assert_same_run, log_lines

pytestmark = pytest.mark.ddp


@pytest.fixture(
    scope='module',
    params=[False, pytest.param(True, marks=pytest.mark.slow)],
    ids=['ema', 'ema of buffers'],
)
def runs(request, tmp_path_factory):
    """The folder of all runs, and whether EMAHook averages buffers."""
    folder = tmp_path_factory.mktemp('ddp')
    code = [-signal.SIGKILL] * 2
    run_ranks(ddp_run.start, folder, request.param, code=code)
    return folder, request.param


def test_a_killed_run(runs):
    """Also when rank 0 alone finds the newest checkpoint damaged."""
    folder, average = runs
    newest = folder / 'killed' / 'epoch_2.pth'
    newest.write_bytes(newest.read_bytes()[:1000])
    output = run_ranks(ddp_run.resume, folder, average)
    assert output.count('Resuming from') == 1
    assert load(folder / 'whole' / 'epoch_3.pth')['meta']['iter'] == 6
    for line in log_lines(folder / 'whole', 'val_log.json'):
        # 6 even labels and 5 odd ones: the padding is not counted.
        loss = -(6 * math.log(0.2) + 5 * math.log(0.8)) / 11
        assert line['loss'] == pytest.approx(loss, rel=1e-6)
    assert_same_run(folder / 'killed', folder / 'whole')


def test_a_signal_to_one_of_two_processes_stops_both(runs):
    """In the same iteration, inside an epoch; started again, they resume."""
    folder, _ = runs
    state = read_state(folder / 'inside')
    assert (state['iteration'], state['reason']) == (3, 'got SIGTERM')
    assert_same_run(folder / 'stopped', folder / 'whole')


def test_the_run_validates_the_model_that_it_saves(runs, tmp_path):
    """What the log says is what a single process finds."""
    folder, average = runs
    lines = log_lines(folder / 'whole', 'val_log.json')
    for epoch in (2, 3):
        runner = ddp_run.build(tmp_path, average=average)
        path = str(folder / 'whole' / f'epoch_{epoch}.pth')
        load_checkpoint(runner.model, path, strict=True)
        runner._hooks = [
            h for h in runner.hooks if type(h).__name__ != 'EMAHook'
        ]
        # Sums of 11 numbers in another order.
        assert runner.val()['toy/score'] == pytest.approx(
            lines[epoch - 1]['toy/score'], rel=11 * 2**-52
        )


def test_another_number_of_processes_resumes(runs):
    """A checkpoint from inside an epoch; there is a warning, no error."""
    folder, average = runs
    checkpoint = load(folder / 'inside' / 'iter_3.pth')
    first, second = checkpoint['meta']['mask_plugins']['buffers']
    assert not any(first.values())
    assert 'teacher.running_mean' in second['model']
    assert 'seen' in second['model']
    runner = ddp_run.build(folder / 'inside', average=average, resume=True)
    text = train(runner)
    # After 1 of 2 batches of the second epoch, which now has 3.
    assert 'resumed epoch: 1, iter: 4' in text
    assert 'by another number of processes' in text
