# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a benchmark reports besides its times, as plain data."""

import datetime
import os
import platform
from typing import List, Sequence

import torch

from .timing import Spread


def ratios(a: Sequence[float], b: Sequence[float]) -> List[float]:
    """Round by round, so that what slows a whole round cancels."""
    return [x / y for x, y in zip(a, b)]


def shares(part: Sequence[float], whole: Sequence[float]) -> List[float]:
    """What ``whole`` has beyond ``part``, relative to it, round by round."""
    return [(with_ - without) / with_ for with_, without in zip(whole, part)]


def spread(values: Sequence[float]) -> dict:
    """Median, quartiles and their distance."""
    found = Spread.of(values)
    return dict(found._asdict(), iqr=found.iqr)


def spread_ms(seconds: Sequence[float]) -> dict:
    """The same of seconds, in milliseconds."""
    return spread([1000 * s for s in seconds])


def target(name: str, value: float, limit: float) -> dict:
    """A number that must not exceed a limit, and whether it does not."""
    return dict(name=name, value=value, limit=limit, met=value <= limit)


def machine(device: str) -> dict:
    """What the numbers were measured on.

    Args:
        device (str): The device of the measurement.

    Returns:
        dict: Hardware, software, date, and how memory is measured there.
    """
    cpu = platform.processor() or platform.machine()
    if os.path.exists('/proc/cpuinfo'):
        with open('/proc/cpuinfo') as file:
            names = [line for line in file if line.startswith('model name')]
        cpu = names[0].split(':')[1].strip() if names else cpu
    gpu = None
    if torch.device(device).type == 'cuda':
        gpu = torch.cuda.get_device_name(device)
    return dict(
        cpu=cpu,
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        gpu=gpu,
        system=platform.platform(),
        python=platform.python_version(),
        torch=torch.__version__,
        date=datetime.datetime.now().astimezone().isoformat('T', 'seconds'),
        memory='max_memory_allocated' if gpu else 'torch.profiler',
    )
