# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import math
import signal

import pytest
import torch

from mask_plugins.engine.checkpoint.run_state import EXIT_PREEMPTED, read_state

from .processes import launch
from .test_resume import assert_same_run, log_lines


@pytest.mark.ddp
def test_two_processes_resume_exactly(tmp_path):
    """Also when rank 0 alone finds the newest checkpoint damaged."""
    codes, output = launch('ddp_run.py', tmp_path, 'start')
    assert codes == [-signal.SIGKILL] * 2, output
    newest = tmp_path / 'killed' / 'epoch_2.pth'
    newest.write_bytes(newest.read_bytes()[:1000])
    codes, output = launch('ddp_run.py', tmp_path, 'resume')
    assert codes == [0, 0], output
    assert output.count('Resuming from') == 1
    whole = tmp_path / 'whole'
    checkpoint = torch.load(whole / 'epoch_3.pth', weights_only=True)
    assert checkpoint['meta']['iter'] == 6
    for line in log_lines(whole, 'val_log.json'):
        # 6 even labels and 5 odd ones: the padding is not counted.
        loss = -(6 * math.log(0.2) + 5 * math.log(0.8)) / 11
        assert line['loss'] == pytest.approx(loss, rel=1e-6)
    killed = tmp_path / 'killed'
    assert_same_run(killed, whole)


@pytest.mark.ddp
def test_a_signal_to_one_of_two_processes_stops_both(tmp_path):
    """In the same iteration, inside an epoch; started again, they go on."""
    codes, output = launch('ddp_run.py', tmp_path, 'whole')
    assert codes == [0, 0], output
    codes, output = launch('ddp_run.py', tmp_path, 'stop')
    assert codes == [EXIT_PREEMPTED] * 2, output
    state = read_state(tmp_path / 'killed')
    assert state['iteration'] == 3
    assert state['reason'] == 'got SIGTERM'
    codes, output = launch('ddp_run.py', tmp_path, 'go on')
    assert codes == [0, 0], output
    assert_same_run(tmp_path / 'killed', tmp_path / 'whole')
