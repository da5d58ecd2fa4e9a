# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A log on a full disk; the rest of it is in test_train_log_hook.py."""

import pytest

from mask_plugins.engine.checkpoint.json_lines import JsonLines

from ..common.disk import full_disk


def test_lines_wait_until_there_is_room(tmp_path):
    log = JsonLines(tmp_path / 'log.json', 1)
    log.append(a=1)
    with full_disk(12):  # the second line would be cut in half
        log.append(a=2)
        with pytest.raises(OSError, match='too large'):
            log.flush(sync=True)
    assert log.path.read_text() == '{"a": 1}\n'
    log.append(a=3)
    assert log.path.read_text() == '{"a": 1}\n{"a": 2}\n{"a": 3}\n'
