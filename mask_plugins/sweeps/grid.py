# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""From a grid or a list of settings to the runs of a sweep."""

import itertools
import math
import os.path as osp
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from mask_plugins.analysis.runs.run_labels import short_names
from mask_plugins.apis.find_config import find_config
from mask_plugins.utils.checks import (
    PathLike,
    check_int,
    check_number,
    check_path,
    check_type,
)

from .options import NAME, check_name, check_settings
from .sweep_yaml import read_sweep_yaml

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
            content = read_sweep_yaml(path)
        if 'search' in content:
            raise ValueError('it describes a search: `sweep.py search`')
        if seeds is not None:
            content['seeds'] = seeds
        points = expand(content, changes)
        name = check_name('name', content.get('name', name))
        measured = _mapping(content, 'measured')
        seconds = check_number(
            'measured.seconds_per_epoch',
            measured.get('seconds_per_epoch'),
            low=0,
            ends='(]',
            optional=not measured,
        )
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
    return Spec(name, points, seconds, str(measured.get('on', '')))


def _mapping(content: Dict[str, Any], key: str) -> Dict[str, Any]:
    return check_type(key, content.get(key) or {}, dict, 'a map of keys')


def expand(
    content: Dict[str, Any], changes: Mapping[str, List[Any]] = {}
) -> List[Point]:
    """Every run: the product of the grid, times the list, times the seeds.

    Args:
        content (dict): ``config``, ``base`` (for every run), ``grid``,
            ``list``, ``seeds``.
        changes (dict): Axes of ``--set``; one value is a setting of every
            run. Defaults to none.

    Raises:
        ValueError: If no run is left, no config is named, or two runs are
            the same.
        TypeError: If one of them has not the right form, or a value is of no
            type that a command line can give.

    Examples:
        >>> content = dict(config='a.py', grid={'model.k': [1, 2]})
        >>> expand(content)[1].overrides
        {'config': 'a.py', 'model.k': 2, 'randomness.seed': 0}
    """
    several = {k: v for k, v in changes.items() if len(v) > 1}
    base = {CONFIG: content[CONFIG]} if CONFIG in content else {}
    base.update(_mapping(content, 'base'))
    base = {k: v for k, v in base.items() if k not in several}
    base.update({k: v[0] for k, v in changes.items() if len(v) == 1})
    check_settings('base', base)
    grid = _mapping(content, 'grid')
    grid = {k: v for k, v in grid.items() if k not in changes}
    axes = [_axis(*item) for item in {**grid, **several}.items()]
    if content.get('list') is not None:
        entries = _filled('list', content['list'], 'settings')
        axes.append(_points('an entry of list', entries))
    seeds = content.get('seeds')
    seeds = _filled('seeds', [0] if seeds is None else seeds, 'ints')
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
    """The value, for a set; 1, 1.0 and True are equal in Python."""
    if isinstance(value, dict):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return type(value), value


def _filled(name: str, value: Any, what: str) -> List[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f'{name} must be a list of {what}, got {value!r}')
    return value


def _axis(key: str, values: Any) -> List[Point]:
    """One axis of a grid: values of a key, or names for several settings."""
    if isinstance(values, dict) and values:
        return [
            Point({key: str(label)}, check_settings(f'{key}.{label}', some))
            for label, some in values.items()
        ]
    what = 'values, or map names to settings'
    values = _filled(f'grid.{key}', values, what)
    return _points('grid', [{key: value} for value in values])


def _points(name: str, settings: List[Any]) -> List[Point]:
    """Settings that name themselves."""
    settings = [check_settings(name, one) for one in settings]
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
    keys = dict.fromkeys(key for point in points for key in point.labels)
    values = {key: {point.labels.get(key) for point in points} for key in keys}
    shown = [key for key in keys if key == 'seed' or len(values[key]) > 1]
    short = short_names(shown)
    names = []
    for point in points:
        labels = {
            short[k]: point.labels[k] for k in shown if k in point.labels
        }
        name = '_'.join(f'{key}-{label}' for key, label in labels.items())
        names.append(re.sub(r'[^\w.+-]+', '-', name))
    fit = all(NAME.fullmatch(name) and len(name) <= 200 for name in names)
    if len(set(names)) < len(names) or not fit:
        seeds = [point.labels['seed'] for point in points]
        return [f'{index:04}_seed-{seed}' for index, seed in enumerate(seeds)]
    return names
