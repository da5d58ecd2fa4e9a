# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A log on a full disk; the rest of it is in test_train_log_hook.py."""

import resource
import signal

import pytest

from mask_plugins.engine.checkpoint.json_lines import JsonLines


@pytest.fixture
def limit_files():
    """Files may not grow beyond what is said, as with a quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(size):
        resource.setrlimit(
            resource.RLIMIT_FSIZE,
            before if size is None else (size, before[1]),
        )

    yield limit
    limit(None)
    signal.signal(signal.SIGXFSZ, handler)


def test_lines_wait_until_there_is_room(tmp_path, limit_files):
    log = JsonLines(tmp_path / 'log.json', 1)
    log.append(a=1)
    limit_files(12)  # the second line would be cut in half
    log.append(a=2)
    with pytest.raises(OSError, match='too large'):
        log.flush(sync=True)
    assert log.path.read_text() == '{"a": 1}\n'
    limit_files(None)
    log.append(a=3)
    assert log.path.read_text() == '{"a": 1}\n{"a": 2}\n{"a": 3}\n'
