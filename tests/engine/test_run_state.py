# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Is the process that wrote a state still running?"""

import json
import os
import subprocess
import sys

import pytest

from mask_plugins.engine.checkpoint.run_state import (
    RUNNING,
    STATE_FILE,
    is_resumable,
    is_running,
    read_state,
    write_state,
)
from mask_plugins.utils.process_id import process_start


@pytest.fixture
def state(tmp_path):
    write_state(tmp_path, RUNNING, resumable=False)
    return read_state(tmp_path)


def test_this_process_runs(state):
    assert is_running(state)


@pytest.mark.parametrize(
    'pid', [1, -1, 0, 'abc', '1', [1], None, True, 1.0, 1 << 70]
)
def test_another_process_is_not_it(state, pid):
    """Such as one that got the number of a run that was killed."""
    assert not is_running(dict(state, pid=pid))


def test_another_host_and_another_start(state):
    assert not is_running(dict(state, host='elsewhere', boot='other'))
    assert not is_running(dict(state, process_start=None))
    assert not is_running({})


def test_a_process_that_ended(state):
    process = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1)
    start = process_start(process.pid)
    ended = dict(state, pid=process.pid, process_start=start)
    assert is_running(ended)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_running(ended)  # a zombie
    process.communicate()
    assert not is_running(ended)


@pytest.mark.parametrize(
    'text', ['{"a"', '[1]', '', '\0', '[' * 100000, b'\xff\xfe']
)
def test_a_file_that_is_none(tmp_path, text):
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / STATE_FILE).write_bytes(data)
    assert read_state(tmp_path) is None
    assert not is_resumable(tmp_path)


def test_resumable_is_true_or_not(tmp_path):
    (tmp_path / STATE_FILE).write_text(json.dumps(dict(resumable='no')))
    assert not is_resumable(tmp_path)
