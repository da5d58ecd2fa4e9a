# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""From a grid or a list of settings to the runs of a sweep."""

import itertools
import math
import os.path as osp
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from mask_plugins.analysis.runs.run_labels import short_names
from mask_plugins.apis.find_config import find_config
from mask_plugins.utils.checks import (
    PathLike,
    check_int,
    check_number,
    check_path,
)

from .options import NAME, check_name, check_settings
from .sweep_yaml import read_yaml

SEED = 'randomness.seed'
CONFIG = 'config'
MOST_RUNS = 10_000


class Point(NamedTuple):
    """One run: what it is called and what it sets.

    Args:
        labels (dict): Name of each axis and of the value on it.
        overrides (dict): Dotted keys and values; ``config`` is the file.
    """

    labels: Dict[str, str]
    overrides: Dict[str, Any]


class Spec(NamedTuple):
    """A sweep as it was asked for.

    Args:
        name (str): Its name, fit for a folder.
        points (list[Point]): The runs.
        seconds_per_epoch (float, optional): As measured, validation included.
        measured_on (str): Machine and date of that.
    """

    name: str
    points: List[Point]
    seconds_per_epoch: Optional[float] = None
    measured_on: str = ''


def read_spec(
    path: PathLike, changes: Dict[str, List[Any]], seeds: Optional[List[int]]
) -> Spec:
    """Read a sweep file, or make a sweep of a single config.

    Args:
        path (str | os.PathLike): A ``.yaml`` that describes a sweep, or a
            config; also a name that :func:`find_config` knows.
        changes (dict): Axes of ``--set``; they replace those of the file.
        seeds (list[int], optional): Replaces those of the file.

    Raises:
        ValueError: If the file is not as tools/slurm/README.md says.
        FileNotFoundError: If there is none.

    Examples:
        >>> name = 'pss_vit-tiny_1xb16-baseline-30e_digits.py'
        >>> spec = read_spec(name, {'train_cfg.max_epochs': [3, 5]}, [0, 1])
        >>> spec.name, len(spec.points)
        ('pss_vit-tiny_1xb16-baseline-30e_digits', 4)
    """
    path = find_config(check_path('path', path))
    if not osp.isfile(path):
        raise FileNotFoundError(f'there is no config or sweep file {path}')
    name = osp.splitext(osp.basename(path))[0]
    content: Dict[str, Any] = dict(config=osp.abspath(path), seeds=[0])
    try:
        if path.endswith(('.yaml', '.yml')):
            content = read_yaml(path)
        if seeds is not None:
            content['seeds'] = seeds
        points = expand(_change(content, changes))
        name = check_name('name', content.get('name', name))
        seconds, on = _measured(content.get('measured'))
        for point in points:
            name_or_path = point.overrides[CONFIG]
            config = osp.join(osp.dirname(path), name_or_path)
            is_name = '::' in name_or_path or not osp.dirname(name_or_path)
            if is_name and not osp.isfile(config):
                config = find_config(name_or_path)
            point.overrides[CONFIG] = osp.abspath(config)
    except (FileNotFoundError, TypeError, ValueError) as error:
        lost = isinstance(error, FileNotFoundError)
        kind = FileNotFoundError if lost else ValueError
        raise kind(f'{path}: {error}') from error
    return Spec(name, points, seconds, on)


def _change(
    content: Dict[str, Any], changes: Dict[str, List[Any]]
) -> Dict[str, Any]:
    """A sweep with axes of ``--set``: one value is a setting of every run."""
    grid = content.get('grid') or {}
    base = content.get('base') or {}
    if isinstance(grid, dict) and isinstance(base, dict):
        several = {k: v for k, v in changes.items() if len(v) > 1}
        grid = {k: v for k, v in grid.items() if k not in changes}
        base = {k: v for k, v in base.items() if k not in several}
        base.update({k: v[0] for k, v in changes.items() if len(v) == 1})
        grid.update(several)
        if CONFIG in content:
            base.setdefault(CONFIG, content[CONFIG])
    return dict(content, grid=grid, base=base)


def _measured(measured: Any) -> 'tuple[Optional[float], str]':
    if not measured:
        return None, ''
    if not isinstance(measured, dict):
        raise ValueError(
            'measured must have the keys seconds_per_epoch and on, got '
            f'{measured!r}'
        )
    seconds = check_number(
        'measured.seconds_per_epoch',
        measured.get('seconds_per_epoch'),
        low=0,
        ends='(]',
    )
    return seconds, str(measured.get('on', ''))


def expand(content: Dict[str, Any]) -> List[Point]:
    """Every run: the product of the grid, times the list, times the seeds.

    Args:
        content (dict): ``base`` (for every run), ``grid``, ``list``,
            ``seeds``.

    Raises:
        ValueError: If one of them has not the right form, no run is left, no
            config is named, or two runs are the same.
        TypeError: If a value is of no type that a command line can give.

    Examples:
        >>> base = dict(config='a.py')
        >>> points = expand(dict(base=base, grid={'model.k': [1, 2]}))
        >>> points[1].overrides
        {'config': 'a.py', 'model.k': 2, 'randomness.seed': 0}
    """
    base = check_settings('base', content.get('base') or {})
    grid = content.get('grid') or {}
    if not isinstance(grid, dict):
        raise ValueError(f'grid must map dotted keys to values, got {grid!r}')
    axes = [_axis(key, values) for key, values in grid.items()]
    if content.get('list') is not None:
        axes.append(_list_axis(content['list']))
    seeds = content.get('seeds')
    seeds = [0] if seeds is None else seeds
    if not isinstance(seeds, list) or not seeds:
        raise ValueError(f'seeds must be a list of ints, got {seeds!r}')
    for seed in seeds:
        check_int('seeds', seed, 0, 2**32 - 1)
    axes.append([Point({'seed': str(s)}, {SEED: s}) for s in seeds])
    count = math.prod(map(len, axes))
    if count > MOST_RUNS:
        raise ValueError(f'{count} runs are more than {MOST_RUNS}')
    points: Dict[Any, Point] = {}
    for parts in itertools.product(*axes):
        point = Point({}, dict(base))
        for part in parts:
            point.labels.update(part.labels)
            point.overrides.update(part.overrides)
        if not isinstance(point.overrides.get(CONFIG), str):
            raise ValueError("'config' must name a config file")
        if points.setdefault(_frozen(point.overrides), point) is not point:
            raise ValueError(f'two runs are the same: {point.overrides}')
    return list(points.values())


def _frozen(value: Any) -> Any:
    """The value, for a set."""
    if isinstance(value, dict):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _axis(key: str, values: Any) -> List[Point]:
    """One axis of a grid: values of a key, or names for several settings."""
    if isinstance(values, dict) and values:
        return [
            Point({key: str(label)}, check_settings(f'{key}.{label}', some))
            for label, some in values.items()
        ]
    if not isinstance(values, list) or not values:
        raise ValueError(
            f'grid.{key} must be a list of values, or map names to settings, '
            f'got {values!r}'
        )
    settings = [check_settings('grid', {key: value}) for value in values]
    return [Point({key: _label(key, one[key])}, one) for one in settings]


def _list_axis(entries: Any) -> List[Point]:
    if not isinstance(entries, list) or not entries:
        raise ValueError(f'list must be a list of settings, got {entries!r}')
    settings = [check_settings('an entry of list', one) for one in entries]
    return [
        Point({key: _label(key, v) for key, v in one.items()}, one)
        for one in settings
    ]


def _label(key: str, value: Any) -> str:
    if key == CONFIG:
        return osp.splitext(osp.basename(str(value)))[0]
    if isinstance(value, str):  # types: mask_plugins.CyclicSchedule
        return re.sub(r'^mask_plugins\.', '', value)
    if isinstance(value, list):
        return '-'.join(_label(key, item) for item in value)
    return f'{value:g}' if isinstance(value, float) else str(value)


def folder_names(points: Sequence[Point]) -> List[str]:
    """What tells each run apart, as the name of its folder.

    Axes on which all runs agree are left out; the seed is always there, last.

    Returns:
        list[str]: Unique, such as 'start-0.8_schedule-linear_seed-1'.

    Examples:
        >>> points = [Point({'model.k': k, 'seed': '0'}, {}) for k in '12']
        >>> folder_names(points)
        ['k-1_seed-0', 'k-2_seed-0']
    """
    keys = list(dict.fromkeys(key for point in points for key in point.labels))
    shown = [
        key
        for key in keys
        if key == 'seed'
        or len({point.labels.get(key) for point in points}) > 1
    ]
    short = short_names(shown)
    names = []
    for point in points:
        parts = [
            f'{short[key]}-{point.labels[key]}'
            for key in shown
            if key in point.labels
        ]
        names.append(re.sub(r'[^\w.+-]+', '-', '_'.join(parts)))
    fit = all(NAME.fullmatch(name) and len(name) <= 200 for name in names)
    if len(set(names)) < len(names) or not fit:
        return [
            f'{index:04}_seed-{point.labels["seed"]}'
            for index, point in enumerate(points)
        ]
    return names
