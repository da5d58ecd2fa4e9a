# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Draw random numbers without a trace."""

import random
from contextlib import contextmanager
from typing import Iterator

import numpy as np
import torch


@contextmanager
def preserved_random_states() -> Iterator[None]:
    """The global generators are afterwards what they were before.

    Those of :mod:`random`, numpy, and torch on the CPU and on the GPU that is
    in use.

    Examples:
        >>> before = random.getstate()
        >>> with preserved_random_states():
        ...     number = random.random()
        >>> random.getstate() == before
        True
    """
    states = random.getstate(), np.random.get_state()
    gpus = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(gpus):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
