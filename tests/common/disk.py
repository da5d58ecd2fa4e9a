# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A disk that is full."""

import resource
import signal
from contextlib import contextmanager


@contextmanager
def full_disk(size=1000):
    """No file may grow past ``size`` bytes, pytest's output included."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
