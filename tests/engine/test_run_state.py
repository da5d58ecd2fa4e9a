# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Is the process that wrote a state still running?"""

import json

import pytest

from mask_plugins.engine.checkpoint.run_state import (
    RUNNING,
    STATE_FILE,
    is_resumable,
    is_running,
    read_state,
    write_state,
)


def test_this_process_runs(tmp_path):
    """What of a record counts: tests/utils/test_process_id.py."""
    write_state(tmp_path, RUNNING, resumable=False)
    state = read_state(tmp_path)
    assert is_running(state)
    assert not is_running(dict(state, host='elsewhere', boot='other'))
    assert not is_running({})


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
