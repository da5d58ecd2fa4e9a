# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The runs of a sweep, as one JSON file that everything else goes by.

It names no path: folders and configs are found from the sweep's own folder
and the checked names of runs and configs.
"""

import json
import os.path as osp
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from mmengine.config import Config

from mask_plugins.apis.config import read_config
from mask_plugins.engine.checkpoint.keep_policy import KeepPolicy
from mask_plugins.utils.checks import (
    PathLike,
    check_bool,
    check_int,
    check_number,
    check_path,
    check_type,
)
from mask_plugins.utils.files import read_json, write_atomically

from .grid import CONFIG, Spec, folder_names
from .options import (
    apply_overrides,
    check_name,
    check_settings,
    format_options,
    without_marks,
)
from .slurm_options import SlurmOptions

FORMAT = 1
MANIFEST = 'manifest.json'
SCRIPT = 'array.sbatch'
LOGS = 'logs'


class SweepRun(NamedTuple):
    """One run of a sweep.

    Args:
        index (int): Its number, and that of its array task.
        name (str): The name of its folder in ``runs``.
        config (str): The name of its config file in ``configs``.
        overrides (dict): Dotted keys and values.
        epochs (int, optional): How many it trains; None where iterations
            count.

    Examples:
        >>> SweepRun(0, 'seed-0', 'c.py', {'randomness.seed': 0}).work_dir
        'runs/seed-0'
    """

    index: int
    name: str
    config: str
    overrides: Dict[str, Any]
    epochs: Optional[int] = None

    @property
    def work_dir(self) -> str:
        """Its folder, relative to the sweep's."""
        return osp.join('runs', self.name)

    @property
    def config_file(self) -> str:
        """Its config file, relative to the sweep's folder."""
        return osp.join('configs', self.config)


class Manifest(NamedTuple):
    """A sweep.

    Args:
        folder (str): The folder of the manifest.
        name (str): Name of the sweep.
        runs (list[SweepRun]): The runs, in the order of their index.
        slurm (SlurmOptions): How it is submitted.
        keep (str): Which checkpoints stay, see :class:`KeepPolicy`; '' leaves
            that to the config. Defaults to ''.
        amp (bool): Whether to train in mixed precision. Defaults to False.
        seconds_per_epoch (float, optional): As measured.
        measured_on (str): Machine and date of that.

    Examples:
        >>> run = SweepRun(0, 'seed-0', 'c.py', {'randomness.seed': 0}, 30)
        >>> made = Manifest('s', 'test', [run], SlurmOptions(), amp=True)
        >>> ' '.join(made.command(run)[1:])
        '--work-dir s/runs/seed-0 --resume --amp --cfg-options \
randomness.seed=0'
    """

    folder: str
    name: str
    runs: List[SweepRun]
    slurm: SlurmOptions
    keep: str = ''
    amp: bool = False
    seconds_per_epoch: Optional[float] = None
    measured_on: str = ''

    def work_dir(self, run: SweepRun) -> str:
        """Path of a run's folder."""
        return osp.join(self.folder, run.work_dir)

    def train_args(self) -> List[str]:
        """Arguments of tools/train.py that all runs have."""
        keep = ['--keep', self.keep] if self.keep else []
        return ['--resume', *keep, *(['--amp'] if self.amp else [])]

    def command(self, run: SweepRun) -> List[str]:
        """Arguments of tools/train.py."""
        args = [osp.join(self.folder, run.config_file)]
        args += ['--work-dir', self.work_dir(run), *self.train_args()]
        return [*args, '--cfg-options', *format_options(run.overrides)]

    def hours(self) -> Optional[float]:
        """Estimate of the time of all runs together, one after the other."""
        epochs = [run.epochs for run in self.runs]
        if self.seconds_per_epoch is None or None in epochs:
            return None
        return sum(epochs) * self.seconds_per_epoch / 3600


def make_manifest(
    spec: Spec,
    folder: PathLike,
    slurm: SlurmOptions,
    keep: str = '',
    amp: bool = False,
    check: Optional[Callable[[Manifest, Dict[str, Config]], None]] = None,
) -> Manifest:
    """Check every run against its config, and copy the configs.

    Nothing is written if one of them is wrong. The configs are copied whole,
    because a task may start days later, when they have been edited.

    Args:
        spec (Spec): The sweep.
        folder (str | os.PathLike): Where to write.
        slurm (SlurmOptions): How it is submitted.
        keep (str): See :class:`Manifest`. Defaults to ''.
        amp (bool): See :class:`Manifest`. Defaults to False.
        check (Callable, optional): Called with the manifest and its configs,
            by their name, before anything is written, such as
            :func:`~mask_plugins.sweeps.script.check_script`. Defaults to
            None.

    Raises:
        ValueError: If a setting is not in a config, nothing reads it, it has
            another form, or the folder holds another sweep.

    Examples:
        >>> import tempfile
        >>> from mask_plugins.sweeps import read_spec
        >>> config = 'pss_vit-tiny_1xb16-baseline-30e_digits.py'
        >>> spec = read_spec(config, {}, [0, 1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = make_manifest(spec, folder, SlurmOptions())
        >>> [run.name for run in made.runs]
        ['seed-0', 'seed-1']
    """
    configs: Dict[str, Config] = {}
    runs = []
    for index, (point, name) in enumerate(
        zip(spec.points, folder_names(spec.points))
    ):
        overrides = dict(point.overrides)
        path = overrides.pop(CONFIG)
        if path not in configs:
            if not osp.isfile(path):
                raise FileNotFoundError(f'there is no config {path}')
            configs[path] = read_config(path)
        cfg = apply_overrides(configs[path], overrides)
        overrides = without_marks(overrides)
        format_options(overrides)
        epochs = cfg.get('train_cfg', {}).get('max_epochs')
        config = check_name('the name of a config', osp.basename(path))
        runs.append(SweepRun(index, name, config, overrides, epochs))
    names = {osp.basename(path) for path in configs}
    if len(names) < len(configs):
        raise ValueError(
            f'two configs have the same name: {sorted(configs)}; rename one'
        )
    if keep:
        KeepPolicy.parse(keep)
    manifest = Manifest(
        check_path('folder', folder), spec.name, runs, slurm, keep, amp,
        spec.seconds_per_epoch, spec.measured_on,
    )  # fmt: skip
    if osp.exists(osp.join(folder, MANIFEST)):
        old = read_manifest(folder)
        if (old.runs, old.keep, old.amp) != (runs, keep, amp):
            raise ValueError(
                f'{folder} holds another sweep ({len(old.runs)} runs): take '
                'another folder (--out), or remove that one'
            )
    if check is not None:
        check(manifest, {osp.basename(p): cfg for p, cfg in configs.items()})
    for path, cfg in configs.items():
        copy = osp.join(folder, 'configs', osp.basename(path))
        write_atomically(copy, cfg.pretty_text)
    write_manifest(manifest)
    return manifest


def write_manifest(manifest: Manifest) -> str:
    """Write it into its folder; the path."""
    content = dict(format=FORMAT, **manifest._asdict())
    content['slurm'] = manifest.slurm._asdict()
    content['runs'] = [run._asdict() for run in manifest.runs]
    folder = content.pop('folder')
    path = osp.join(folder, MANIFEST)
    return write_atomically(path, json.dumps(content, indent=1) + '\n')


def read_manifest(folder: PathLike) -> Manifest:
    """Read and check the manifest of a sweep.

    Args:
        folder (str | os.PathLike): The folder of the sweep, or the manifest
            itself.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If something in it is wrong; it names what and where.

    Examples:
        >>> read_manifest('nowhere')  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        FileNotFoundError: nowhere holds no sweep (no manifest.json): make ...
    """
    path = check_path('folder', folder)
    if osp.isdir(path) or not path.endswith('.json'):
        path = osp.join(path, MANIFEST)
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'{folder} holds no sweep (no {MANIFEST}): make one with '
            '`sweep.py plan CONFIG --out FOLDER`'
        )
    content = read_json(path)
    try:
        return _parse(content, osp.dirname(path))
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path}: {error}') from error


def _parse(content: Any, folder: str) -> Manifest:
    if not isinstance(content, dict) or content.pop('format', 0) != FORMAT:
        raise ValueError(f'no manifest of format {FORMAT}')
    _check_keys('it', content, Manifest._fields[1:])
    made = Manifest(folder, **content)
    check_name('name', made.name)
    check_bool('amp', made.amp)
    check_number(
        'seconds_per_epoch', made.seconds_per_epoch, low=0, optional=True
    )
    if check_type('keep', made.keep, str, 'text'):
        KeepPolicy.parse(made.keep)
    entries = check_type('runs', made.runs, list, 'a list of runs')
    runs = [_parse_run(*item, folder) for item in enumerate(entries)]
    if len({run.name for run in runs}) < len(runs) or not runs:
        raise ValueError('runs must be some, of different names')
    return made._replace(runs=runs, slurm=SlurmOptions.parse(made.slurm))


def _check_keys(name: str, value: Any, keys: Sequence[str]) -> None:
    if not isinstance(value, dict) or set(value) != set(keys):
        raise ValueError(f'{name} must have the keys {keys}, got {value!r}')


def _parse_run(index: int, entry: Any, folder: str) -> SweepRun:
    at = f'runs[{index}]'
    _check_keys(at, entry, SweepRun._fields)
    run = SweepRun(**entry)
    check_int(f'{at}.index', run.index, index, index)
    check_name(f'{at}.name', run.name)
    check_name(f'{at}.config', run.config)
    check_int(f'{at}.epochs', run.epochs, 0, optional=True)
    if not osp.isfile(osp.join(folder, run.config_file)):
        raise ValueError(f'{at}: there is no config {run.config}')
    if not check_settings(f'{at}.overrides', run.overrides):
        raise ValueError(f'{at}.overrides must have at least a seed')
    format_options(run.overrides)
    return run
