# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""From a grid or a list of settings to the runs of a sweep."""

import itertools
import os.path as osp
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from .options import check_value

KEYS = ('name', 'config', 'base', 'grid', 'list', 'seeds', 'measured')
SEED = 'randomness.seed'
CONFIG = 'config'


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
    path: str, changes: Dict[str, List[Any]], seeds: Optional[List[int]]
) -> Spec:
    """Read a sweep file, or make a sweep of a single config.

    Args:
        path (str): A ``.yaml`` that describes a sweep, or a config.
        changes (dict): Axes of ``--set``; they replace those of the file.
        seeds (list[int], optional): Replaces those of the file.

    Raises:
        ValueError: If the file is not as tools/slurm/README.md says.
        FileNotFoundError: If there is none.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'there is no config or sweep file {path}')
    name = osp.splitext(osp.basename(path))[0]
    content: Dict[str, Any] = dict(config=osp.basename(path), seeds=[0])
    if path.endswith(('.yaml', '.yml')):
        content = _read_yaml(path)
    if seeds is not None:
        content['seeds'] = seeds
    grid = dict(content.get('grid') or {})
    base = dict(content.get('base') or {})
    for key, values in changes.items():
        grid.pop(key, None)
        if len(values) == 1:
            base[key] = values[0]
        else:
            base.pop(key, None)
            grid[key] = values
    if CONFIG in content:
        base.setdefault(CONFIG, content[CONFIG])
    content.update(grid=grid, base=base)
    try:
        points = expand(content)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path}: {error}') from error
    folder = osp.dirname(osp.abspath(path))
    for point in points:
        config = osp.join(folder, point.overrides[CONFIG])
        point.overrides[CONFIG] = osp.normpath(config)
    measured = content.get('measured') or {}
    seconds = measured.get('seconds_per_epoch')
    if measured and not (isinstance(seconds, (int, float)) and seconds > 0):
        raise ValueError(
            f'{path}: measured.seconds_per_epoch must be a positive number, '
            f'got {seconds!r}'
        )
    on = str(measured.get('on', ''))
    return Spec(content.get('name') or name, points, seconds, on)


def _read_yaml(path: str) -> Dict[str, Any]:
    import yaml

    with open(path, encoding='utf-8') as file:
        try:
            content = yaml.safe_load(file)
        except yaml.YAMLError as error:
            raise ValueError(f'{path} is not YAML: {error}') from error
    if not isinstance(content, dict) or set(content) - set(KEYS):
        found = list(content) if isinstance(content, dict) else content
        raise ValueError(
            f'{path} must have some of the keys {list(KEYS)}, got {found!r}'
        )
    name = content.get('name')
    if name is not None and not re.fullmatch(r'[\w.+-]+', str(name)):
        raise ValueError(
            f'{path}: name must be letters, digits, and any of . + - _, got '
            f'{name!r}'
        )
    return content


def expand(content: Dict[str, Any]) -> List[Point]:
    """Every run: the product of the grid, times the list, times the seeds.

    Args:
        content (dict): ``base`` (for every run), ``grid``, ``list``,
            ``seeds``.

    Raises:
        ValueError: If one of them has not the right form, no run is left, no
            config is named, or two runs are the same.
        TypeError: If a value is of no type that a command line can give.
    """
    base = _mapping(content.get('base'), 'base')
    axes = [
        _axis(key, values)
        for key, values in _mapping(content.get('grid'), 'grid').items()
    ]
    entries = content.get('list')
    if entries is not None:
        axes.append(_list_axis(entries))
    seeds = content.get('seeds')
    seeds = [0] if seeds is None else seeds
    if (
        not isinstance(seeds, list)
        or not seeds
        or any(type(seed) is not int or seed < 0 for seed in seeds)
    ):
        raise ValueError(
            'seeds must be a list of ints that are not negative, got '
            f'{seeds!r}'
        )
    axes.append([Point({'seed': str(s)}, {SEED: s}) for s in seeds])
    points = []
    for parts in itertools.product(*axes):
        labels: Dict[str, str] = {}
        overrides = dict(base)
        for part in parts:
            labels.update(part.labels)
            overrides.update(part.overrides)
        points.append(Point(labels, overrides))
    _check(points)
    return points


def _check(points: Sequence[Point]) -> None:
    seen: List[Dict[str, Any]] = []
    for point in points:
        if not isinstance(point.overrides.get(CONFIG), str):
            raise ValueError("'config' must name a config file")
        for key, value in point.overrides.items():
            check_value(key, value)
        if point.overrides in seen:
            raise ValueError(f'two runs are the same: {point.overrides}')
        seen.append(point.overrides)


def _mapping(value: Any, name: str) -> Dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(
            f'{name} must map dotted keys to values, got {value!r}'
        )
    return value


def _axis(key: str, values: Any) -> List[Point]:
    """One axis of a grid: values of a key, or names for several settings."""
    if isinstance(values, dict) and values:
        return [
            Point({key: str(label)}, _mapping(settings, f'{key}.{label}'))
            for label, settings in values.items()
        ]
    if not isinstance(values, list) or not values:
        raise ValueError(
            f'grid.{key} must be a list of values, or map names to settings, '
            f'got {values!r}'
        )
    return [Point({key: _label(key, v)}, {key: v}) for v in values]


def _list_axis(entries: Any) -> List[Point]:
    if not isinstance(entries, list) or not entries:
        raise ValueError(f'list must be a list of settings, got {entries!r}')
    points = []
    for entry in entries:
        settings = _mapping(entry, 'an entry of list')
        labels = {key: _label(key, v) for key, v in settings.items()}
        points.append(Point(labels, settings))
    return points


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
    """
    keys = list(dict.fromkeys(key for point in points for key in point.labels))
    shown = [
        key
        for key in keys
        if key == 'seed'
        or len({point.labels.get(key) for point in points}) > 1
    ]
    short = _short_names(shown)
    names = []
    for point in points:
        parts = [
            f'{short[key]}-{point.labels[key]}'
            for key in shown
            if key in point.labels
        ]
        names.append(re.sub(r'[^\w.+-]+', '-', '_'.join(parts)))
    if len(set(names)) < len(names) or max(map(len, names)) > 200:
        return [
            f'{index:04}_seed-{point.labels["seed"]}'
            for index, point in enumerate(points)
        ]
    return names


def _short_names(keys: Sequence[str]) -> Dict[str, str]:
    """The last part of each dotted key, more where that is ambiguous."""
    short = {}
    for key in keys:
        parts = key.split('.')
        for count in range(1, len(parts) + 1):
            name = '.'.join(parts[-count:])
            others = [
                k for k in keys if k != key and f'.{k}'.endswith(f'.{name}')
            ]
            if not others:
                break
        short[key] = name
    return short
