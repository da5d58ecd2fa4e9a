# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A damaged file is read as sound values or is an error that names it."""

import random
import resource
import shutil
import signal
import time

import pytest

from .kinds import KINDS, Configs

# Seconds of the processor, whatever else runs.
SECONDS, MEMORY = 10, 2 << 30


class Hang(BaseException):
    """It took too long."""


def listing(folder):
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob('*')
        if path.is_file()
    }


def stop(*args):
    raise Hang


def try_all(kind, folder, numbers, figures):
    """Change and read a file so often; returns how often it was read."""
    kind = kind()
    kind.make(folder)
    kind.read()
    sound = kind.path.read_bytes()
    read = 0
    signal.signal(signal.SIGPROF, stop)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        rng = random.Random(f'{type(kind).__name__} {number}')
        try:
            kind.change(rng, sound)
        except (AttributeError, RecursionError, TypeError, ValueError):
            continue  # the writer itself cannot write that
        before = listing(folder)
        begin = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            kind.read()
        except (OSError, TypeError, ValueError, RuntimeError) as error:
            message = str(error)
        except BaseException as error:
            raise AssertionError(f'{type(kind).__name__} {number}') from error
        else:
            read += 1
            message = kind.path.name
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        assert kind.path.name in message, number
        assert time.process_time() - begin < SECONDS, number
        assert listing(folder) == before, number
        figures[f'mutated {type(kind).__name__.lower()}'] += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert grown << 10 < MEMORY
    shutil.rmtree(folder)
    return read


@pytest.mark.parametrize('kind', KINDS)
def test_a_sample(tmp_path, kind, figures):
    read = try_all(kind, tmp_path / 'a', range(60), figures)
    assert read < 60 or kind is Configs


@pytest.mark.reliability
@pytest.mark.parametrize('kind', KINDS)
def test_many(tmp_path, kind, figures):
    try_all(kind, tmp_path / 'a', range(60, 2060), figures)
