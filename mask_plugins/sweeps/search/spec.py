# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a search is: config, space, number of trials, and when to give up."""

import math
import os.path as osp
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from mmengine.config import Config

from mask_plugins.analysis.runs.run_comparison import Metric
from mask_plugins.apis.config import read_config
from mask_plugins.apis.find_config import find_config
from mask_plugins.utils.checks import (
    PathLike,
    check_choice,
    check_int,
    check_type,
)
from mask_plugins.utils.files import read_json, write_atomically, write_json

from ..grid import SEED
from ..options import (
    apply_overrides,
    check_name,
    check_settings,
    format_options,
    without_marks,
)
from ..sweep_yaml import read_sweep_yaml
from .asha import rungs
from .axis import Axis

FORMAT = 1
SEARCH = 'search.json'
SAMPLERS = ('tpe', 'random')
_KEYS = ('space', 'trials', 'metric', 'seed', 'sampler', 'startup', 'asha')
_PREEMPTION = 'mask_plugins.PreemptionHook'


class SearchSpec(NamedTuple):
    """A search.

    Args:
        name (str): Its name, fit for a folder.
        config (str): Name of the config file in ``configs``.
        base (dict): Settings of every trial, the seed of its run among them.
        space (tuple[Axis]): What is searched.
        trials (int): How many trials there are, whatever becomes of them.
        metric (str): A key of ``val_log.json``, perhaps with ``:min`` or
            ``:max``; its best value counts. Defaults to 'acc1'.
        seed (int): Of the sampler. Defaults to 0.
        sampler (str): 'tpe' or 'random'. Defaults to 'tpe'.
        startup (int): Trials that are drawn at random before TPE begins.
            Defaults to 10.
        asha (tuple[int, int], optional): First epoch at which trials are
            compared, and the factor from one such epoch to the next: of so
            many trials one continues. None for no pruning.
        epochs (int, optional): How many a whole trial trains.

    Examples:
        >>> axis = Axis('optim_wrapper.optimizer.lr', low=1e-4, high=1e-2)
        >>> SearchSpec('lr', 'cfg.py', {}, (axis,), trials=20).sampler
        'tpe'
    """

    name: str
    config: str
    base: Dict[str, Any]
    space: Tuple[Axis, ...]
    trials: int
    metric: str = 'acc1'
    seed: int = 0
    sampler: str = 'tpe'
    startup: int = 10
    asha: Optional[Tuple[int, int]] = None
    epochs: Optional[int] = None

    def rungs(self) -> List[int]:
        """The epochs after which a trial may end."""
        return rungs(*self.asha, self.epochs) if self.asha else []

    @property
    def direction(self) -> str:
        """As optuna says it."""
        best = Metric.parse(self.metric).best
        return 'maximize' if best == 'max' else 'minimize'

    def to_json(self) -> Dict[str, Any]:
        """As :func:`read_search` reads it."""
        values = dict(format=FORMAT, **self._asdict())
        values['space'] = {axis.key: axis.to_json() for axis in self.space}
        return values


def make_search(
    path: PathLike, trials: Optional[int] = None
) -> Tuple[SearchSpec, Config]:
    """Read a sweep file with a ``search``, and check it on its config.

    Args:
        path (str | os.PathLike): The ``.yaml``, or a name that
            :func:`find_config` knows.
        trials (int, optional): In place of what the file says.

    Returns:
        tuple[SearchSpec, Config]: The config is as it is in its file.

    Raises:
        ValueError: If the file is not as tools/slurm/README.md says, or a
            setting does not fit the config.
        FileNotFoundError: If there is no such file or config.
    """
    path = find_config(path)
    if not osp.isfile(path) or not path.endswith(('.yaml', '.yml')):
        raise FileNotFoundError(f'there is no sweep file (.yaml) {path}')
    content = read_sweep_yaml(path)
    if 'search' not in content:
        raise ValueError(f'{path} has no `search`: see `sweep.py submit`')
    wrong = set(content) - {'name', 'config', 'base', 'search'}
    if wrong:
        raise ValueError(f'{path}: a search has no {sorted(wrong)}')
    found = content.get('config')
    if not isinstance(found, str):
        raise ValueError(f"{path}: 'config' must name a config file")
    config = osp.join(osp.dirname(path), found)
    config = config if osp.isfile(config) else find_config(found)
    if not osp.isfile(config):
        raise FileNotFoundError(f'{path}: there is no config {found}')
    cfg = read_config(config)
    try:
        base = {SEED: 0, **check_settings('base', content.get('base') or {})}
        values = dict(check_type('search', content['search'], dict, 'a map'))
        if trials is not None:
            values['trials'] = trials
        name = content.get('name', osp.splitext(osp.basename(path))[0])
        whole = apply_overrides(cfg, base)
        epochs = whole.get('train_cfg', {}).get('max_epochs')
        spec = _parse(name, osp.basename(config), base, values, epochs)
        _check(spec, cfg, whole)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path}: {error}') from error
    return spec._replace(base=without_marks(base)), cfg


def _parse(
    name: Any, config: Any, base: Any, values: Dict[str, Any], epochs: Any
) -> SearchSpec:
    if not set(values) <= set(_KEYS):
        raise ValueError(
            f'search must have some of the keys {_KEYS}, got {sorted(values)}'
        )
    space = check_type('space', values.get('space'), dict, 'a map of keys')
    if not space:
        raise ValueError('space must have at least one key')
    axes = tuple(Axis.parse(*item) for item in space.items())
    trials = check_int('trials', values.get('trials'), 1, 10_000)
    spec = SearchSpec(
        check_name('name', name),
        check_name('the name of a config', config),
        check_settings('base', base),
        axes,
        trials,
        epochs=check_int('epochs', epochs, 1, optional=True),
    )
    options = {
        key: values[key]
        for key in ('metric', 'seed', 'sampler', 'startup')
        if key in values
    }
    spec = spec._replace(**options)
    Metric.parse(check_type('metric', spec.metric, str, 'text'))
    check_int('seed', spec.seed, 0, 2**32 - 1)
    check_choice('sampler', spec.sampler, SAMPLERS)
    check_int('startup', spec.startup, 0)
    asha = values.get('asha')
    if asha is None:
        return spec
    if isinstance(asha, dict):
        asha = [asha.get('first', 1), asha.get('reduction', 3)]
    check_type('asha', asha, (list, tuple), 'a map: first, reduction')
    first, reduction = asha
    if spec.epochs is None:
        raise ValueError('asha needs a config that trains by epochs')
    check_int('asha.first', first, 1)
    check_int('asha.reduction', reduction, 2)
    return spec._replace(asha=(first, reduction))


def _check(spec: SearchSpec, cfg: Config, whole: Config) -> None:
    """Try the space on the config, and the epochs on its intervals."""
    most = max(len(axis.ends()) for axis in spec.space)
    for place in range(most):
        values = {
            axis.key: axis.ends()[min(place, len(axis.ends()) - 1)]
            for axis in spec.space
        }
        settings = {**spec.base, **check_settings('space', values)}
        apply_overrides(cfg, settings)
        format_options(without_marks(settings))
    hooks = whole.get('default_hooks') or {}
    found = (hooks.get('preemption') or {}).get('type')
    check_choice('default_hooks.preemption.type', found, (_PREEMPTION,))
    if spec.asha:
        saving = (hooks.get('checkpoint') or {}).get('interval', 1)
        unit = math.lcm(saving, whole.train_cfg.get('val_interval', 1))
        odd = [epoch for epoch in spec.rungs() if epoch % unit]
        if odd:
            raise ValueError(
                f'asha compares after the epochs {spec.rungs()}, but the '
                f'config saves and validates both only every {unit} epochs'
            )


def write_search(folder: PathLike, spec: SearchSpec, cfg: Config) -> None:
    """Write a search and its config; more trials may be added to an old one.

    Raises:
        ValueError: If the folder holds another search or a sweep.

    Examples:
        >>> import tempfile
        >>> axis = Axis('optim_wrapper.optimizer.lr', low=1e-4, high=1e-2)
        >>> spec = SearchSpec('lr', 'cfg.py', {}, (axis,), trials=20)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_search(folder, spec, Config(dict(a=1)))
        ...     read_search(folder).trials
        20
    """
    path = osp.join(folder, SEARCH)
    if osp.isfile(path):
        old = read_search(folder)
        if old._replace(trials=spec.trials) != spec:
            raise ValueError(
                f'{folder} holds another search: take another folder '
                '(--out), or remove that one'
            )
    elif osp.exists(osp.join(folder, 'manifest.json')):
        raise ValueError(f'{folder} holds a sweep: take another (--out)')
    else:
        copy = osp.join(folder, 'configs', spec.config)
        write_atomically(copy, cfg.pretty_text)
    write_json(path, spec.to_json())


def read_search(folder: PathLike) -> SearchSpec:
    """Read and check the search of a folder.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If something in it is wrong.

    Examples:
        >>> read_search('nowhere')
        Traceback (most recent call last):
        ...
        FileNotFoundError: file not found: nowhere/search.json
    """
    path = osp.join(folder, SEARCH)
    content = read_json(path)
    try:
        content = dict(check_type('it', content, dict, 'a map'))
        check_int('format', content.pop('format', None), FORMAT, FORMAT)
        names = [content.pop(key, None) for key in ('name', 'config', 'base')]
        epochs = content.pop('epochs', None)
        return _parse(*names, content, epochs)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path}: {error}') from error
