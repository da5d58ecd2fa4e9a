# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Several runs as one table: mean and spread over seeds."""

import glob
import json
import os
import re
from collections import Counter
from functools import lru_cache
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from mmengine.config import Config

from mask_plugins.utils.checks import PathLike, check_choice

from .dumped_config import parse_dumped_config
from .run_labels import base_name, label_by_options, recipe_of
from .run_log import RunLog

# What a dumped config has of its seed and folder.
_OWN = re.compile(r'(?<=^work_dir = ).*$|(?<=\bseed=)\d+', re.MULTILINE)
SEED = re.compile(r'[-_.]?\bseed[-_=]?\d+|[-_.]seed[-_=]?\d+', re.IGNORECASE)


# What tables and pictures call the keys of the logs.
TITLES = {
    'acc1': 'top-1 [%]',
    'acc5': 'top-5 [%]',
    'rankme/rank': 'RankMe',
    'rank': 'RankMe of training batches',
    'probe/top1': 'linear probe top-1 [%]',
    'knn/top1': 'k-NN top-1 [%]',
}
SHORT = {'top-1': 'acc1', 'top-5': 'acc5'}


class Metric(NamedTuple):
    """A column: a key of ``val_log.json`` or else of ``train_log.json``.

    Examples:
        >>> Metric.parse('loss')
        Metric(key='loss', best='min')
        >>> Metric.parse('top-1').key, Metric('acc1').title
        ('acc1', 'top-1 [%]')
    """

    key: str
    best: str = 'max'

    @classmethod
    def parse(cls, text: str) -> 'Metric':
        """``KEY`` or ``KEY:max`` or ``KEY:min``.

        Without a direction, a key with "loss" in it is best when small.
        ``top-1`` and ``top-5`` are ``acc1`` and ``acc5`` of the logs.

        Raises:
            ValueError: If the direction is another.
        """
        key, _, best = text.partition(':')
        if not best:
            best = 'min' if 'loss' in key.lower() else 'max'
        check_choice(f'the end of the metric {text!r}', best, ('max', 'min'))
        return cls(SHORT.get(key, key), best)

    @property
    def title(self) -> str:
        """What tables and pictures call it."""
        return TITLES.get(self.key, self.key)


ACCURACY = Metric('acc1')


class Run(NamedTuple):
    """A finished or unfinished run.

    Examples:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> line = '{"epoch": 0, "time": 0.5, "loss": 2, "acc1": 90}'
        >>> log = pathlib.Path(folder.name, 'train_log.json')
        >>> _ = log.write_text(line)
        >>> Run(RunLog(folder.name), None, None).value(ACCURACY)
        {'final': 90.0, 'best': 90.0}
    """

    log: RunLog
    config: Optional[Config]
    config_name: Optional[str]

    @property
    def name(self) -> str:
        """The path as it was given; its last part alone may be a seed."""
        return self.log.folder.rstrip('/') or self.log.folder

    def done(self) -> Optional[str]:
        """None if it ran to its end, or the log cannot tell; else how far."""
        train = (self.config or {}).get('train_cfg') or {}
        if train.get('max_epochs') is not None:
            ran = int(self.log.column('epoch')[-1]) + 1
            if ran < train['max_epochs'] or self._in_epoch(ran):
                return f'epoch {ran} of {train["max_epochs"]}'
        elif train.get('max_iters') is not None:
            ran = len(self.log.column('epoch'))
            if ran < train['max_iters']:
                return f'iteration {ran} of {train["max_iters"]}'
        return None

    def _in_epoch(self, ran: int) -> bool:
        """Whether the last epoch has fewer iterations than the others."""
        epochs = self.log.column('epoch').astype(int)
        last = int((epochs == ran - 1).sum())
        return ran > 1 and last < self.log.iters_per_epoch

    def value(self, metric: Metric) -> Dict[str, Optional[float]]:
        """Final and best value of a metric; None where it was not logged."""
        *_, values = self.log.series(metric.key)
        if not len(values):
            return dict(final=None, best=None)
        best = values.max() if metric.best == 'max' else values.min()
        return dict(final=float(values[-1]), best=float(best))


def read_run(folder: PathLike) -> Run:
    """Read the logs and the config of a work_dir.

    Configs that differ in seed and folder only are one object.

    Raises:
        FileNotFoundError: If there are no logs.
        ValueError: If a log is corrupt.

    Examples:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> line = '{"epoch": 0, "time": 0.5, "loss": 2, "acc1": 90}'
        >>> log = pathlib.Path(folder.name, 'train_log.json')
        >>> _ = log.write_text(line)
        >>> read_run(folder.name).log.train[0]['loss']
        2
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f'there is no folder {folder}')
    log = RunLog(folder)
    configs = glob.glob(os.path.join(glob.escape(log.folder), '*.py'))
    if not configs:
        return Run(log, None, None)
    newest = max(configs, key=os.path.getmtime)
    name = os.path.splitext(os.path.basename(newest))[0]
    try:
        with open(newest, encoding='utf-8') as file:
            config = _config(_OWN.sub('0', file.read()))
    except (OSError, TypeError, ValueError):  # the logs suffice
        config = None
    return Run(log, config, name)


@lru_cache(maxsize=None)
def _config(text: str) -> Config:
    """One for all runs that differ in seed and folder only."""
    return Config(parse_dumped_config(text))


def group_runs(
    runs: Sequence[Run], pattern: Optional[str] = None
) -> Dict[str, List[Run]]:
    """Sort runs into recipes, whose runs differ in their seeds only.

    Runs whose configs are equal but for the seed are one group, called after
    the config; those that ``mim gridsearch`` started, after the settings in
    which they differ. Where no config is in the work_dir, the path with the
    seed stripped (``run-seed1``, ``run/seed_1``) is the group.

    Args:
        runs (Sequence[Run]): The runs.
        pattern (str, optional): Regular expression instead: the group is its
            first parenthesis, or all it matches, in the path of the work_dir.
            Defaults to None.

    Raises:
        ValueError: If the pattern is not valid, or a run does not match.

    Examples:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> line = '{"epoch": 0, "time": 0.5, "loss": 2, "acc1": 90}'
        >>> log = pathlib.Path(folder.name, 'train_log.json')
        >>> _ = log.write_text(line)
        >>> groups = group_runs([read_run(folder.name)])
        >>> [len(runs) for runs in groups.values()]
        [1]
    """
    if pattern is not None:
        return _group(runs, [_match(pattern, run.name) for run in runs])
    keys, known = [], {}
    for run in runs:
        recipe = strip_seed(run.name)
        if run.config is not None:
            # Runs share configs: each is looked at once.
            recipe = known.get(id(run.config))
            if recipe is None:
                plain = recipe_of(run.config.to_dict())
                recipe = json.dumps(plain, sort_keys=True, default=str)
                known[id(run.config)] = recipe
        keys.append((base_name(run.config_name), recipe))
    groups = list(_group(runs, keys).values())
    names = [_group_name(group) for group in groups]
    options = _search_labels(names, groups)
    count = Counter(names)
    unique: Dict[str, List[Run]] = {}
    for name, label, group in zip(names, options, groups):
        # One config, several settings: the folders tell them apart.
        if count[name] > 1:
            name = label or strip_seed(group[0].name)
        if name in unique:
            name = group[0].name
        unique[name] = group
    return unique


def _search_labels(
    names: Sequence[str], groups: Sequence[List[Run]]
) -> List[Optional[str]]:
    """What differs between those of one config that a search started."""
    labels: List[Optional[str]] = [None] * len(groups)
    # Of a single config every row would begin with its name.
    several = len(set(names)) > 1
    for name in set(names):
        same = [i for i, other in enumerate(names) if other == name]
        first = [groups[index][0] for index in same]
        searched = any(
            base_name(r.config_name) != r.config_name for r in first
        )
        if searched and all(run.config is not None for run in first):
            plain = [recipe_of(run.config.to_dict()) for run in first]
            for index, label in zip(same, label_by_options(plain)):
                labels[index] = f'{name}: {label}' if several else label
    return labels


def strip_seed(path: str) -> str:
    """``a/run-seed1`` to ``run``, ``a/run/seed_1`` to ``run``.

    Examples:
        >>> strip_seed('work_dirs/cyclic-seed1'), strip_seed('run/seed_1')
        ('cyclic', 'run')
    """
    stripped = SEED.sub('', os.path.normpath(path)).rstrip('/')
    return os.path.basename(stripped) or os.path.basename(path)


def _group(runs: Sequence[Run], keys: Sequence) -> Dict[Any, List[Run]]:
    groups: Dict[Any, List[Run]] = {}
    for key, run in zip(keys, runs):
        groups.setdefault(key, []).append(run)
    return groups


def _group_name(group: Sequence[Run]) -> str:
    name = group[0].config_name
    if name is None:
        return strip_seed(group[0].name)
    return SEED.sub('', base_name(name) or name)


def _match(pattern: str, name: str) -> str:
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise ValueError(
            f'--group {pattern!r} is not a regular expression: {error}'
        ) from error
    if found is None:
        raise ValueError(f'--group {pattern!r} does not match {name}')
    return found.group(1) if found.groups() else found.group(0)


def summarize(
    groups: Dict[str, List[Run]], metrics: Sequence[Metric]
) -> List[Dict[str, Any]]:
    """Mean and standard deviation per group.

    Returns:
        list[dict]: ``name``, ``n``, ``runs``, and per column (``<key> final``
        and ``<key> best`` of each metric, ``hours``) a dict with ``mean``,
        ``std`` (of the sample; None for one run), ``n`` and ``values``.

    Raises:
        ValueError: If a metric is in none of the logs.

    Examples:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> line = '{"epoch": 0, "time": 0.5, "loss": 2, "acc1": 90}'
        >>> log = pathlib.Path(folder.name, 'train_log.json')
        >>> _ = log.write_text(line)
        >>> groups = dict(baseline=[read_run(folder.name)])
        >>> summarize(groups, [ACCURACY])[0]['columns']['acc1 best']['mean']
        90.0
    """
    rows = []
    for name, runs in groups.items():
        columns: Dict[str, Dict[str, Any]] = {}
        for metric in metrics:
            values = [run.value(metric) for run in runs]
            for kind in ('final', 'best'):
                columns[f'{metric.key} {kind}'] = _spread(
                    [value[kind] for value in values]
                )
        columns['hours'] = _spread([run.log.hours[-1] for run in runs])
        rows.append(
            dict(
                name=name,
                n=len(runs),
                runs=[run.name for run in runs],
                columns=columns,
            )
        )
    for metric in metrics:
        column = f'{metric.key} final'
        if not any(row['columns'][column]['n'] for row in rows):
            known = {k for g in groups.values() for r in g for k in r.log.keys}
            raise ValueError(
                f'no log has the metric {metric.key!r}; they have '
                f'{sorted(known)}'
            )
    return rows


def _spread(values: Sequence[Optional[float]]) -> Dict[str, Any]:
    known = [float(value) for value in values if value is not None]
    std = float(np.std(known, ddof=1)) if len(known) > 1 else None
    mean = float(np.mean(known)) if known else None
    return dict(mean=mean, std=std, n=len(known), values=list(values))
