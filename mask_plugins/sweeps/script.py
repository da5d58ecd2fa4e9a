# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The sbatch script of a sweep."""

import functools
import os
import os.path as osp
import re
import shlex
from typing import Dict, Iterator, List, Sequence

from mmengine.config import Config

from mask_plugins.apis.config_keys import walk
from mask_plugins.utils.files import write_atomically

from .chunks import Chunk
from .manifest import LOGS, SCRIPT, Manifest, SweepRun
from .options import format_options


def render(manifest: Manifest, template: str, chunks: Sequence[Chunk]) -> str:
    """Fill the template with a sweep.

    Args:
        manifest (Manifest): The sweep.
        template (str): Text with ``@@name@@`` where something is filled in.
        chunks (Sequence[Chunk]): The runs to start; the script is an array of
            the first, and also takes the others.

    Raises:
        ValueError: If no path in a config is in the data to be staged, or
            the sweep's folder has a name that sbatch cannot take.
    """
    slurm, sweep = manifest.slurm, _folder(manifest)
    args = manifest.train_args()
    if slurm.nodes * slurm.tasks_per_node > 1:
        args += ['--launcher', 'slurm']
    fields = dict(
        name=manifest.name,
        count=len(manifest.runs),
        array=array_text(chunks[0].tasks, slurm.throttle),
        sweep=sweep,
        pack=slurm.pack,
        log='out' if slurm.pack == 1 else 'task',
        directives='\n'.join(slurm.directives()),
        requeue='yes' if slurm.requeue else 'no',
        max_requeues=slurm.max_requeues,
        prologue=slurm.prologue.strip('\n') or '# none',
        cases='\n'.join(_cases(manifest, chunks)),
        source=shlex.quote(slurm.stage),
        train_args=shlex.join(args),
    )
    return re.sub(r'@@(\w+)@@', lambda found: str(fields[found[1]]), template)


def check_script(manifest: Manifest, configs: Dict[str, Config]) -> None:
    """Raise what :func:`render` would, before there is a folder.

    Args:
        manifest (Manifest): The sweep.
        configs (dict[str, Config]): Its configs, by name.

    Raises:
        ValueError: As :func:`render`.
    """
    _folder(manifest)
    if manifest.slurm.stage:
        for run in manifest.runs:
            _staged(manifest, run, configs[run.config])


def write_script(
    manifest: Manifest, tools: str, chunks: Sequence[Chunk]
) -> str:
    """Write the script, from its template, into the sweep's folder; its path.

    Args:
        manifest (Manifest): The sweep.
        tools (str): The folder of the tools.
        chunks (Sequence[Chunk]): The runs to start.
    """
    template = osp.join(tools, 'slurm', SCRIPT)
    with open(template, encoding='utf-8') as file:
        text = render(manifest, file.read(), chunks)
    # SLURM ends a task without a word if it cannot write its output there.
    os.makedirs(osp.join(manifest.folder, LOGS), exist_ok=True)
    return write_atomically(osp.join(manifest.folder, SCRIPT), text)


def array_text(tasks: Sequence[int], throttle: int = 0) -> str:
    """``[0, 1, 2, 5]`` to ``'0-2,5'``, as ``sbatch --array`` has it.

    Examples:
        >>> array_text([0, 1, 2, 5, 7, 8], throttle=2)
        '0-2,5,7-8%2'
    """
    parts: List[List[int]] = []
    for index in sorted(tasks):
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    text = ','.join(f'{a}-{b}' if b > a else str(a) for a, b in parts)
    return f'{text}%{throttle}' if throttle else text


def _folder(manifest: Manifest) -> str:
    """The sweep's folder, as #SBATCH lines name it."""
    sweep = osp.relpath(manifest.folder)
    if sweep.startswith('..'):
        sweep = osp.abspath(manifest.folder)
    if not re.fullmatch(r'[\w./+@-]+', sweep):
        raise ValueError(
            f'the folder {sweep!r} has characters that #SBATCH lines cannot '
            'have: take a path of letters, digits and . / + @ - _'
        )
    return sweep


def _cases(manifest: Manifest, chunks: Sequence[Chunk]) -> Iterator[str]:
    read = functools.lru_cache(Config.fromfile)
    for index in (index for chunk in chunks for index in chunk.indices):
        run = manifest.runs[index]
        options = shlex.join(format_options(run.overrides))
        yield f'    {run.index})'
        yield f'        run={shlex.quote(run.name)}'
        yield f'        config={shlex.quote(run.config)}'
        yield f'        options=({options})'
        if manifest.slurm.stage:
            cfg = read(osp.join(manifest.folder, run.config_file))
            inside = _staged(manifest, run, cfg)
            yield f'        inside=({shlex.join(inside)})'
        yield '        ;;'


def _staged(manifest: Manifest, run: SweepRun, cfg: Config) -> List[str]:
    """Settings of a run that are paths in the staged data."""
    source = osp.abspath(manifest.slurm.stage)
    if not osp.exists(source):
        raise ValueError(f'stage: there is nothing at {source}')
    cfg = Config(cfg.to_dict())
    cfg.merge_from_dict(run.overrides)
    texts = {
        key: value
        for key, value in walk(cfg.to_dict())
        if isinstance(value, str) and value
    }
    found = []
    for key, value in texts.items():
        path = osp.abspath(value)
        if path == source or path.startswith(source + osp.sep):
            found.append(f'{key}={path[len(source) :]}')
    if not found:
        roots = {v for key, v in texts.items() if key.endswith('data_root')}
        raise ValueError(
            f'stage: no path in {run.config} is in {source}; its data_root '
            f'are {sorted(roots)}'
        )
    return found
