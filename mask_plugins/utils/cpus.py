# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The CPU: its name, and how many cores this process may use."""

import contextlib
import math
import os
import platform
from pathlib import Path
from typing import Iterator, Union


def available_cpus(root: Union[str, Path] = '/') -> int:
    """The cores that affinity and cgroup leave to this process.

    In a container or a job these are fewer than the machine has.

    Args:
        root (str | Path): Where ``proc`` and ``sys`` are. Defaults to '/'.

    Examples:
        >>> 1 <= available_cpus() <= os.cpu_count()
        True
    """
    count = os.cpu_count() or 1
    if hasattr(os, 'sched_getaffinity'):
        count = len(os.sched_getaffinity(0))
    quotas = [math.ceil(quota) for quota in _quotas(Path(root))]
    return max(1, min([count, *quotas]))


def cpu_name() -> str:
    """The model of the CPU, as far as the system says it.

    Examples:
        >>> bool(cpu_name())
        True
    """
    with contextlib.suppress(OSError):
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.processor() or platform.machine()


def _quotas(root: Path) -> Iterator[float]:
    """The limits of each cgroup above this process, in cores."""
    top = root / 'sys' / 'fs' / 'cgroup'
    with contextlib.suppress(OSError):
        for line in (root / 'proc/self/cgroup').read_text().splitlines():
            _, controllers, path = line.split(':', 2)
            names = controllers.split(',')
            if controllers and 'cpu' not in names:
                continue
            # Version 2 has no name; version 1 is mounted by its controllers.
            base = top / controllers if controllers else top
            folder = base / path.lstrip('/')
            # A container sees its own cgroup at the top.
            for place in (folder, *folder.parents):
                yield from _quota(place)
                if place in (base, top):
                    break
            yield from _quota(base)


def _quota(folder: Path) -> Iterator[float]:
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / 'cpu.max').read_text().split()
        yield int(quota) / int(period)  # 'max' is no number
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota = int((folder / 'cpu.cfs_quota_us').read_text())
        period = int((folder / 'cpu.cfs_period_us').read_text())
        if quota > 0:  # -1 is no limit
            yield quota / period
