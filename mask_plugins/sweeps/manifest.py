# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The runs of a sweep, as one JSON file that everything else goes by."""

import json
import os.path as osp
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from mmengine.config import Config

from mask_plugins.utils.files import read_json, write_text

from .grid import CONFIG, Spec, folder_names
from .options import (
    apply_overrides,
    check_value,
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
        config (str): The config file, relative to the sweep's folder.
        overrides (dict): Dotted keys and values.
        work_dir (str): Its folder, relative to the sweep's.
        epochs (int, optional): How many it trains; None where iterations
            count.
    """

    index: int
    config: str
    overrides: Dict[str, Any]
    work_dir: str
    epochs: Optional[int] = None

    @property
    def name(self) -> str:
        """The last part of the work_dir."""
        return osp.basename(self.work_dir)


class Manifest(NamedTuple):
    """A sweep.

    Args:
        folder (str): Where the manifest lies.
        name (str): Name of the sweep.
        runs (list[SweepRun]): The runs, in the order of their index.
        train_args (list[str]): More arguments of tools/train.py.
        slurm (SlurmOptions): How it is submitted.
        seconds_per_epoch (float, optional): As measured.
        measured_on (str): Machine and date of that.
    """

    folder: str
    name: str
    runs: List[SweepRun]
    train_args: List[str]
    slurm: SlurmOptions
    seconds_per_epoch: Optional[float] = None
    measured_on: str = ''

    def work_dir(self, run: SweepRun) -> str:
        """Path of a run's folder."""
        return osp.join(self.folder, run.work_dir)

    def command(self, run: SweepRun) -> List[str]:
        """Arguments of tools/train.py."""
        args = [osp.join(self.folder, run.config)]
        args += ['--work-dir', self.work_dir(run), '--resume']
        args += [*self.train_args, '--cfg-options']
        return [*args, *format_options(run.overrides)]

    def hours(self) -> Optional[float]:
        """Estimate of the time of all runs together, one after the other."""
        epochs = [run.epochs for run in self.runs]
        if self.seconds_per_epoch is None or None in epochs:
            return None
        return sum(epochs) * self.seconds_per_epoch / 3600


def make_manifest(
    spec: Spec,
    folder: str,
    train_args: Sequence[str],
    slurm: SlurmOptions,
) -> Manifest:
    """Check every run against its config, and copy the configs.

    Nothing is written if one of them is wrong. The configs are copied whole,
    since a task may start days later, when somebody has edited them.

    Args:
        spec (Spec): The sweep.
        folder (str): Where to write.
        train_args (Sequence[str]): More arguments of tools/train.py.
        slurm (SlurmOptions): How it is submitted.

    Raises:
        ValueError: If a setting is not in a config or of another form, or the
            folder holds another sweep.
    """
    configs: Dict[str, Config] = {}
    targets: Dict[str, str] = {}
    runs = []
    for index, (point, name) in enumerate(
        zip(spec.points, folder_names(spec.points))
    ):
        overrides = dict(point.overrides)
        path = overrides.pop(CONFIG)
        if path not in configs:
            if not osp.isfile(path):
                raise FileNotFoundError(f'there is no config {path}')
            configs[path] = Config.fromfile(path)
            targets[path] = osp.join('configs', osp.basename(path))
        cfg = apply_overrides(configs[path], overrides)
        overrides = without_marks(overrides)
        format_options(overrides)
        epochs = cfg.get('train_cfg', {}).get('max_epochs')
        work_dir = osp.join('runs', name)
        runs.append(
            SweepRun(index, targets[path], overrides, work_dir, epochs)
        )
    if len(set(targets.values())) < len(targets):
        raise ValueError(
            f'two configs have the same name: {sorted(targets)}; rename one'
        )
    manifest = Manifest(
        folder,
        spec.name,
        runs,
        list(train_args),
        slurm,
        spec.seconds_per_epoch,
        spec.measured_on,
    )
    if osp.exists(osp.join(folder, MANIFEST)):
        old = read_manifest(folder)
        if (old.runs, old.train_args) != (runs, manifest.train_args):
            raise ValueError(
                f'{folder} holds another sweep ({len(old.runs)} runs): take '
                'another folder (--out), or remove that one'
            )
    for path, target in targets.items():
        write_text(osp.join(folder, target), configs[path].pretty_text)
    write_manifest(manifest)
    return manifest


def write_manifest(manifest: Manifest) -> str:
    """Write it into its folder; the path."""
    content = dict(
        format=FORMAT,
        name=manifest.name,
        seconds_per_epoch=manifest.seconds_per_epoch,
        measured_on=manifest.measured_on,
        train_args=manifest.train_args,
        slurm=manifest.slurm._asdict(),
        runs=[run._asdict() for run in manifest.runs],
    )
    path = osp.join(manifest.folder, MANIFEST)
    return write_text(path, json.dumps(content, indent=1) + '\n')


def read_manifest(folder: str) -> Manifest:
    """Read and check the manifest of a sweep.

    Args:
        folder (str): The folder of the sweep, or the manifest itself.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If something in it is wrong; it names what and where.
    """
    path = folder
    if osp.isdir(folder) or not folder.endswith('.json'):
        path = osp.join(folder, MANIFEST)
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'{folder} holds no sweep (no {MANIFEST}): make one with '
            '`sweep.py plan CONFIG --out FOLDER`'
        )
    content = read_json(path)
    folder = osp.dirname(path)
    try:
        return _parse(content, folder)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path}: {error}') from error


def _parse(content: Any, folder: str) -> Manifest:
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        raise ValueError(f'no manifest of format {FORMAT}')
    entries = content.get('runs')
    if not isinstance(entries, list) or not entries:
        raise ValueError(f'runs must be a list of runs, got {entries!r}')
    runs = []
    for index, entry in enumerate(entries):
        try:
            runs.append(_parse_run(entry, index, folder))
        except (TypeError, ValueError) as error:
            raise ValueError(f'runs[{index}]: {error}') from error
    if len({run.work_dir for run in runs}) < len(runs):
        raise ValueError('two runs have the same work_dir')
    args = content.get('train_args')
    if not isinstance(args, list) or any(not isinstance(a, str) for a in args):
        raise ValueError(f'train_args must be a list of text, got {args!r}')
    name = content.get('name')
    if not isinstance(name, str) or not re.fullmatch(r'[\w.+-]+', name):
        raise ValueError(f'name must be fit for a folder, got {name!r}')
    seconds = content.get('seconds_per_epoch')
    if not isinstance(seconds, (int, float, type(None))):
        raise ValueError(
            f'seconds_per_epoch must be a number or null, got {seconds!r}'
        )
    return Manifest(
        folder,
        name,
        runs,
        args,
        SlurmOptions.parse(content.get('slurm')),
        seconds,
        str(content.get('measured_on', '')),
    )


def _parse_run(entry: Any, index: int, folder: str) -> SweepRun:
    if not isinstance(entry, dict) or set(entry) != set(SweepRun._fields):
        raise ValueError(f'must have {SweepRun._fields}, got {entry!r}')
    run = SweepRun(**entry)
    if run.index != index:
        raise ValueError(f'index must be {index}, got {run.index!r}')
    for name, path in (('config', run.config), ('work_dir', run.work_dir)):
        if (
            not isinstance(path, str)
            or osp.isabs(path)
            or '..' in path.split('/')
            or not path
        ):
            raise ValueError(
                f'{name} must be a path inside the folder, got {path!r}'
            )
    if not osp.isfile(osp.join(folder, run.config)):
        raise ValueError(f'there is no config {run.config}')
    if not isinstance(run.overrides, dict) or not run.overrides:
        raise ValueError(
            f'overrides must be an object with at least a seed, got '
            f'{run.overrides!r}'
        )
    for key, value in run.overrides.items():
        check_value(key, value)
    format_options(run.overrides)
    if run.epochs is not None and type(run.epochs) is not int:
        raise ValueError(f'epochs must be an int or null, got {run.epochs!r}')
    return run
