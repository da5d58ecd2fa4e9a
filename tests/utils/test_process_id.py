# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Processes of other namespaces, boots and machines; none is mistaken."""

import os
import subprocess
import sys
import time

import pytest

from mask_plugins.engine.checkpoint.run_state import is_running, read_state
from mask_plugins.utils import process_id as module
from mask_plugins.utils.process_id import is_alive, process_id

from ..common.processes import clean_environ

CONTAINER = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']
# Process 1 of its container writes that it runs, and waits.
RUN = """
import os, sys
from mask_plugins.engine.checkpoint.run_state import is_running, read_state
from mask_plugins.engine.checkpoint.run_state import write_state
write_state(sys.argv[1], 'running', resumable=False)
assert os.getpid() == 1 and is_running(read_state(sys.argv[1]))
others = [is_running(read_state(path)) for path in sys.argv[2:]]
print('running', *others, flush=True)
input()
"""


@pytest.fixture
def container():
    """Start a run in a pid namespace of its own; its process and output."""
    try:
        subprocess.run([*CONTAINER, 'true'], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'no pid namespaces here: {error}')
    started = []

    def start(*folders):
        process = subprocess.Popen(
            [*CONTAINER, sys.executable, '-c', RUN, *map(str, folders)],
            stdin=-1, stdout=-1, text=True, env=clean_environ(),
        )  # fmt: skip
        started.append(process)
        return process, process.stdout.readline().split()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_runs_in_containers(container, tmp_path):
    """Both are process 1 under the same host name."""
    one, two = tmp_path / 'one', tmp_path / 'two'
    process, said = container(one)
    assert said == ['running']
    state = read_state(one)
    assert (state['pid'], state['host']) == (1, os.uname().nodename)
    # From outside it is seen under another number, if all are seen.
    sees_all = module._namespace('self') == module._FIRST_NAMESPACE
    assert is_alive(state) is True
    # The other container cannot see it: not even its own process 1 is it.
    _, said = container(two, one)
    assert said == ['running', 'False']
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while is_running(state) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_alive(state) is (False if sees_all else None)
    assert is_running(read_state(two))


def test_the_number_of_a_process_here_says_nothing(tmp_path):
    """This process has the pid and start, in another namespace."""
    state = dict(process_id(), namespace='pid:[1]')
    assert not is_alive(state)


def test_another_boot():
    here = process_id()
    if here['boot'] is None:
        pytest.skip('no boot id')
    # The machine was started again, or it is another one.
    assert is_alive(dict(here, boot='before')) is False
    assert is_alive(dict(here, boot='other', host='elsewhere')) is None
    # A container may have another host name.
    assert is_alive(dict(here, host='elsewhere')) is True


def test_records_without_boot(monkeypatch):
    """Of the releases before, and of systems that have none."""
    here = process_id()
    old = {k: here[k] for k in ('host', 'pid', 'process_start')}
    assert is_alive(old) is True
    assert is_alive(dict(old, host='elsewhere')) is None
    monkeypatch.setattr(module, '_boot', lambda: None)
    assert is_alive(here) is True


@pytest.mark.parametrize(
    'value', [None, 1, -1, 0, 1.0, 1 << 70, [1], {}, 'x', '1', True]
)
@pytest.mark.parametrize('key', ['pid', 'process_start', 'namespace', 'boot'])
def test_a_record_of_any_kind(key, value):
    """Also one that got the number of a run that was killed."""
    any_answer = value is None and key in ('namespace', 'boot')
    assert is_alive(dict(process_id(), **{key: value})) in (
        (True, False, None) if any_answer else (False, None)
    )


def test_a_process_that_has_ended():
    child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1)
    start = module.process_start(child.pid)
    record = dict(process_id(), pid=child.pid, process_start=start)
    assert is_alive(record)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_alive(record) is False  # a zombie
    child.communicate()
    assert is_alive(record) is False
