# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The sbatch script of a sweep."""

import os
import os.path as osp
import re
import shlex
from typing import Any, Dict, Iterator, List, Optional, Sequence

from mmengine.config import Config

from .manifest import LOGS, SCRIPT, Manifest, SweepRun
from .options import NEW, apply_overrides, format_options

_STAGE = """
# Data to the local disk, once per node: tasks of one node share it.
# STAGE_DIR says where; a folder of each job's own would be filled every time.
source=@@source@@
staged=${STAGE_DIR:-${TMPDIR:-/tmp}}/staged-$(id -u)
staged=$staged/$(stat -c '%n %Y' "$source" | cksum | tr ' ' -)
stage() (
    mkdir -p "$(dirname "$2")"
    exec 9>"$2.lock"
    flock 9
    [ -e "$2.complete" ] && exit 0
    rm -rf "$2"
    cp -r "$1" "$2" && touch "$2.complete"
)
export -f stage
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \\
    --ntasks-per-node=1 bash -c 'stage "$1" "$2"' - "$source" "$staged" || {
    echo "could not copy $source to $staged" >&2
    exit 1
}
for key in "${inside[@]}"; do # key=path inside the source
    options+=("${key%%=*}=$staged${key#*=}")
done
"""


def render(
    manifest: Manifest, template: str, indices: Optional[Sequence[int]] = None
) -> str:
    """Fill the template with a sweep.

    Args:
        manifest (Manifest): The sweep.
        template (str): Text with ``@@name@@`` where something is filled in.
        indices (Sequence[int], optional): The runs to start; None for all.

    Raises:
        ValueError: If no path in a config lies in the data to be staged, or
            the template asks for something unknown.
    """
    slurm = manifest.slurm
    sweep = osp.relpath(manifest.folder)
    if sweep.startswith('..'):
        sweep = osp.abspath(manifest.folder)
    if not re.fullmatch(r'[\w./+@-]+', sweep):
        raise ValueError(
            f'the folder {sweep!r} has characters that #SBATCH lines cannot '
            'have: take a path of letters, digits and . / + @ - _'
        )
    processes = slurm.nodes * slurm.tasks_per_node
    args = [*manifest.train_args]
    if processes > 1:
        args += ['--launcher', 'slurm']
    stage = _STAGE.replace('@@source@@', shlex.quote(slurm.stage))
    fields = dict(
        name=manifest.name,
        count=str(len(manifest.runs)),
        array=array_text(
            [run.index for run in manifest.runs]
            if indices is None
            else indices
        )
        + (f'%{slurm.throttle}' if slurm.throttle else ''),
        sweep=sweep,
        directives='\n'.join(slurm.directives()),
        requeue='yes' if slurm.requeue else 'no',
        max_requeues=str(slurm.max_requeues),
        prologue=slurm.prologue.strip('\n') or '# none',
        cases='\n'.join(_cases(manifest)),
        stage=stage if slurm.stage else '',
        train_args=shlex.join(args),
    )
    unknown = set(re.findall(r'@@(\w+)@@', template)) - set(fields)
    if unknown:
        raise ValueError(f'the template asks for {sorted(unknown)}')
    return re.sub(r'@@(\w+)@@', lambda found: fields[found[1]], template)


def write_script(
    manifest: Manifest, template: str, indices: Optional[Sequence[int]] = None
) -> str:
    """Write the script into the sweep's folder, and make that for the logs.

    Returns:
        str: Path of the script.
    """
    text = render(manifest, template, indices)
    os.makedirs(osp.join(manifest.folder, LOGS), exist_ok=True)
    path = osp.join(manifest.folder, SCRIPT)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return path


def array_text(indices: Sequence[int]) -> str:
    """``[0, 1, 2, 5]`` to ``'0-2,5'``, as ``sbatch --array`` has it."""
    parts: List[List[int]] = []
    for index in sorted(indices):
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ','.join(f'{a}-{b}' if b > a else str(a) for a, b in parts)


def _cases(manifest: Manifest) -> Iterator[str]:
    configs: Dict[str, Config] = {}
    for run in manifest.runs:
        options = shlex.join(format_options(run.overrides))
        yield f'{run.index})'
        yield f'    run={shlex.quote(run.name)}'
        yield f'    config={shlex.quote(osp.basename(run.config))}'
        yield f'    options=({options})'
        if manifest.slurm.stage:
            if run.config not in configs:
                path = osp.join(manifest.folder, run.config)
                configs[run.config] = Config.fromfile(path)
            inside = _staged(manifest, run, configs[run.config])
            yield f'    inside=({shlex.join(inside)})'
        yield '    ;;'


def _staged(manifest: Manifest, run: SweepRun, cfg: Config) -> List[str]:
    """Settings of a run that are paths in the staged data."""
    source = osp.abspath(manifest.slurm.stage)
    if not osp.exists(source):
        raise ValueError(f'stage: there is nothing at {source}')
    marked = {f'{NEW}{key}': value for key, value in run.overrides.items()}
    cfg = apply_overrides(cfg, marked)  # they were checked when planned
    found, roots = [], []
    for key, value in _leaves(cfg.to_dict()):
        if key.endswith('data_root') and value:
            roots.append(value)
        if not isinstance(value, str) or not value:
            continue
        path = osp.abspath(value)
        if path == source or path.startswith(source + osp.sep):
            found.append(f'{key}={path[len(source) :]}')
    if not found:
        raise ValueError(
            f'stage: no path in {run.config} lies in {source}; its data_root '
            f'are {sorted(set(roots))}'
        )
    return found


def _leaves(value: Any, key: str = '') -> Iterator[Any]:
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        yield key, value
        return
    for name, item in items:
        yield from _leaves(item, f'{key}.{name}' if key else str(name))
