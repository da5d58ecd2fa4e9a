# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a benchmark reports in addition to its times, as plain data."""

import datetime
import os
import platform
from typing import Sequence, Tuple

import numpy as np

from mask_plugins.utils.cpus import cpu_name


def spread(values: Sequence[float]) -> dict:
    """Median, quartiles and their distance.

    Examples:
        >>> spread([1, 2, 3])
        {'median': 2.0, 'low': 1.5, 'high': 2.5, 'iqr': 1.0}
    """
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return dict(median=median, low=low, high=high, iqr=high - low)


def spread_ms(seconds: np.ndarray) -> dict:
    """The same of seconds, in milliseconds.

    Examples:
        >>> spread_ms(np.array([0.25]))['median']
        250.0
    """
    return spread(1000 * seconds)


def target(
    name: str, value: float, limit: float, at_least: bool = False
) -> dict:
    """A number, a limit of it, and whether it is kept.

    Args:
        name (str): What it is.
        value (float): The number.
        limit (float): What it must not exceed.
        at_least (bool): Whether it must reach the limit instead. Defaults to
            False.

    Examples:
        >>> target('overhead', 1.1, 1.4)['met']
        True
    """
    met = value >= limit if at_least else value <= limit
    return dict(name=name, value=value, limit=limit, met=met)


def format_spread(values: dict, digits: int = 3) -> str:
    """Median and half the distance of the quartiles, of :func:`spread`.

    Examples:
        >>> format_spread(spread([1, 2, 3]), digits=1)
        '2.0 ±0.5'
    """
    half = values['iqr'] / 2
    return f'{values["median"]:.{digits}f} ±{half:.{digits}f}'


def format_target(found: dict) -> str:
    """A line about what :func:`target` has found.

    Examples:
        >>> format_target(target('overhead', 1.5, 1.4))
        'overhead: 1.500 (target 1.4: MISSED)'
        >>> format_target(target('speed-up', 32.0, 31.0, at_least=True))
        'speed-up: 32.000 (target 31.0: met)'
        >>> format_target(target('speed-up', 30.0, 31.0, at_least=True))
        'speed-up: 30.000 (target 31.0: MISSED)'
    """
    verdict = 'met' if found['met'] else 'MISSED'
    limit = f'(target {found["limit"]}: {verdict})'
    return f'{found["name"]}: {found["value"]:.3f} {limit}'


def machine(device: str) -> dict:
    """What the numbers were measured on.

    Args:
        device (str): The device of the measurement.

    Returns:
        dict: Hardware, software, date, and how memory is measured there.

    Examples:
        >>> machine('cpu')['memory']
        'torch.profiler'
    """
    import torch  # the tools' --help does without

    from mask_plugins import native

    gpu = None
    if torch.device(device).type == 'cuda':
        gpu = torch.cuda.get_device_name(device)
    return dict(
        cpu=cpu_name(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        kernels=native.status(),
        gpu=gpu,
        system=platform.platform(),
        python=platform.python_version(),
        torch=torch.__version__,
        date=datetime.datetime.now().astimezone().isoformat('T', 'seconds'),
        memory='max_memory_allocated' if gpu else 'torch.profiler',
    )


def machine_title(found: dict, what: str) -> str:
    """Title of a figure: the device, what was measured, torch's version.

    Args:
        found (dict): Of :func:`machine`.
        what (str): What was measured.

    Examples:
        >>> machine_title(dict(cpu='x86', gpu=None, torch='2.5.0'), 'batch 8')
        'x86, batch 8, torch 2.5.0'
    """
    return f'{found["gpu"] or found["cpu"]}, {what}, torch {found["torch"]}'


def medians(rows: Sequence[dict], key: str) -> Tuple[np.ndarray, np.ndarray]:
    """Medians, and distances of the quartiles, as errorbar takes them.

    Args:
        rows (Sequence[dict]): Rows of a result.
        key (str): Where each holds a :func:`spread`.

    Examples:
        >>> medians([dict(ms=spread([1, 2, 3]))], 'ms')
        (array([2.]), array([[0.5],
               [0.5]]))
    """
    names = ('low', 'median', 'high')
    low, median, high = np.array([[r[key][n] for n in names] for r in rows]).T
    return median, np.array([median - low, high - median])
