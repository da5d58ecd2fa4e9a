# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Keep data workers alive when their job is told to end."""

import os
import signal
import threading
from functools import partial
from typing import Any, Sequence

from torch.utils.data import DataLoader

# A worker that was told to end is gone after so many seconds whatever
# happens, so that one that hangs does not keep the job from ending.
GRACE = 300


def shield_workers(
    loader: DataLoader, signals: Sequence[signal.Signals]
) -> None:
    """Have the workers of a loader outlive the signals.

    SLURM sends a signal to every process of a job. The training process
    wants to finish its iteration, and a worker that ends makes it fail. What
    the training process itself sends to its workers still ends them: it does
    so when it exits, and would wait for them.

    Args:
        loader (DataLoader): Its workers must not have been started.
        signals (Sequence[Signals]): The signals.

    Examples:
        >>> loader = DataLoader(range(4), num_workers=1)
        >>> shield_workers(loader, [signal.SIGTERM])
        >>> loader.worker_init_fn.func.__name__
        '_init_worker'
    """
    init = loader.worker_init_fn
    if not (isinstance(init, partial) and init.func is _init_worker):
        loader.worker_init_fn = partial(_init_worker, list(signals), init)


def _init_worker(signals: list, init: Any, worker_id: int) -> None:
    # After torch has set its own, which ends the worker.
    for signum in signals:
        signal.signal(signum, _end_later)
    if hasattr(signal, 'sigwaitinfo'):  # not on macOS
        # A handler is not told who sent a signal, so a thread waits for it.
        # Threads that were there before may still take one to the handler.
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        threading.Thread(target=_wait, args=[signals], daemon=True).start()
    if init is not None:
        init(worker_id)


def _wait(signals: list) -> None:
    while True:
        sender = signal.sigwaitinfo(signals).si_pid
        if sender == os.getppid():
            os._exit(0)
        signal.alarm(GRACE)


def _end_later(signum: int, frame: Any) -> None:
    signal.alarm(GRACE)
