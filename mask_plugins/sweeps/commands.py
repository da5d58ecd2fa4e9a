# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The subcommands of tools/slurm/sweep.py.

Each takes the command line and the folder of the tools (from which it starts
train.py and compare_runs.py), and returns an exit code.
"""

import argparse
import json
import os.path as osp
import signal
import subprocess
import sys
import tempfile
import time
from typing import Callable, List, Optional

from rich.live import Live

from mask_plugins.analysis.cli import show
from mask_plugins.analysis.runs.run_comparison import Metric
from mask_plugins.apis.find_config import find_config
from mask_plugins.engine.checkpoint.disk_space import readable_size
from mask_plugins.engine.checkpoint.keep_policy import KeepPolicy
from mask_plugins.engine.checkpoint.run_state import DONE
from mask_plugins.utils.progress import track

from . import slurm_client, tables
from .chunks import split
from .grid import read_spec
from .local_runner import run_here
from .manifest import (
    MANIFEST,
    Manifest,
    SweepRun,
    make_manifest,
    read_manifest,
    write_manifest,
)
from .measure import measure_epoch
from .options import parse_assignment, parse_values
from .prune import prune as prune_run
from .run_status import last_error, newest_logs, sweep_status
from .script import array_text, check_script, write_script
from .search.command import search  # noqa: F401  (a subcommand)
from .search.spec import SEARCH
from .slurm_options import SlurmOptions

PLAN_ARGUMENTS = ('set', 'seeds', 'out', 'keep', 'amp')


def plan(args: argparse.Namespace, tools: str) -> int:
    """Print the table and the script, and write both."""
    manifest = _make(args, check_script)
    if args.measure:
        print('measure: training one epoch of the first run ...', flush=True)
        seconds, machine = measure_epoch(manifest, osp.join(tools, 'train.py'))
        manifest = manifest._replace(
            seconds_per_epoch=seconds, measured_on=machine
        )
        write_manifest(manifest)
    everything = split(range(len(manifest.runs)), manifest.slurm.pack)
    path = write_script(manifest, tools, everything)
    show(tables.plan_table(manifest))
    with open(path, encoding='utf-8') as file:
        print(file.read())
    print(f'{tables.size_line(manifest)}; nothing is submitted yet')
    print(f'wrote {osp.join(manifest.folder, MANIFEST)}')
    print(f'wrote {path}')
    return 0


def submit(args: argparse.Namespace, tools: str) -> int:
    """Submit what is neither done nor active."""

    def check(manifest: Manifest, configs: dict) -> None:
        check_script(manifest, configs)
        slurm_client.limits()  # an error without SLURM: nothing is written

    manifest = _make_or_read(args, check)
    runs = _to_do(manifest)
    if not runs:
        print('there is nothing to submit: see `sweep.py status`')
        return 0
    limits = slurm_client.limits()
    room = limits.submitted
    if room is not None:
        room = max(0, room - slurm_client.queue_length())
    options = manifest.slurm
    indices = [run.index for run in runs]
    chunks = split(indices, options.pack, limits.array, room)
    left = len(runs) - sum(len(chunk.indices) for chunk in chunks)
    if chunks:
        path = write_script(manifest, tools, chunks)
        write_manifest(manifest)
    # A task without an environment of its own gets this one.
    python = '' if options.prologue else sys.executable
    # Each after the one before: with a throttle, when that has ended.
    after = 'afterany' if options.throttle else 'after'
    job = ''
    for chunk in chunks:
        extra = [f'--array={array_text(chunk.tasks, options.throttle)}']
        extra += [f'--dependency={after}:{job}'] if job else []
        job = slurm_client.submit(path, manifest.folder, chunk, python, extra)
        print(
            f'submitted array {job} with {len(chunk.indices)} of '
            f'{len(manifest.runs)} runs ({array_text(chunk.indices)}); '
            f'`sweep.py status {manifest.folder}`'
        )
    if left:
        print(
            f'{left} runs are not submitted: the cluster takes '
            f'{limits.submitted} tasks of a user at a time; submit them with '
            f'`sweep.py resubmit {manifest.folder}` when some have ended, or '
            'take --pack'
        )
    return 0 if chunks else 1


def run(args: argparse.Namespace, tools: str) -> int:
    """Run here what is not done."""
    manifest = _make_or_read(args)
    runs = _to_do(manifest)
    running = run_here(manifest, osp.join(tools, 'train.py'), runs, args.jobs)
    try:
        finished = list(track(running, 'runs', len(runs)))
    except KeyboardInterrupt:
        print('interrupted: the runs have saved; the same command continues')
        return 128 + signal.SIGINT
    bad = [(run, code) for run, code in finished if code]
    logs = newest_logs(manifest) if bad else {}
    for run, code in bad:
        log = logs.get(run.index)
        print(f'{run.name} ended with code {code}: {last_error(log)} ({log})')
    print(f'{len(runs) - len(bad)} of {len(runs)} runs done')
    return 1 if bad else 0


def status(args: argparse.Namespace, tools: str) -> int:
    """Print the table, once, or until no run is active."""
    metric = Metric.parse(args.metric)
    manifest = read_manifest(args.folder)
    found = sweep_status(manifest, metric)
    if args.json:
        print(json.dumps([one.to_dict() for one in found], indent=1))
    elif args.watch is None:
        show(tables.status_page(found, metric.title))
    else:
        page = tables.status_page(found, metric.title)
        with Live(page, auto_refresh=False) as live:
            while any(one.active for one in found):
                time.sleep(args.watch)
                found = sweep_status(manifest, metric)
                page = tables.status_page(found, metric.title)
                live.update(page, refresh=True)
    return 0


def collect(args: argparse.Namespace, tools: str) -> int:
    """Hand the runs that are done to compare_runs."""
    manifest = read_manifest(args.folder)
    found = sweep_status(manifest)
    done = [one.run for one in found if one.state == DONE]
    if not done:
        raise ValueError(f'no run of {args.folder} is done yet')
    if len(done) < len(found):
        left = len(found) - len(done)
        print(f'note: {left} of {len(found)} runs are not done', flush=True)
    command = [sys.executable, osp.join(tools, 'analysis', 'compare_runs.py')]
    command += ['--metrics', *args.metrics, '--out', args.out or args.folder]
    command += ['--group', args.group] if args.group else []
    # A command line has no room for the folders of thousands of runs.
    with tempfile.NamedTemporaryFile('w', suffix='.txt') as file:
        file.writelines(f'{manifest.work_dir(run)}\n' for run in done)
        file.flush()
        command += ['--', f'@{file.name}']
        return subprocess.run(command).returncode


def prune(args: argparse.Namespace, tools: str) -> int:
    """Remove checkpoints of runs that are not active."""
    policy = KeepPolicy.parse(args.keep)
    manifest = read_manifest(args.folder)
    removed = []
    for one in sweep_status(manifest):
        if not one.active:
            work_dir = manifest.work_dir(one.run)
            removed += prune_run(work_dir, policy, args.dry_run)
    for path, size in removed:
        print(f'{path}: {readable_size(size)}')
    total = readable_size(sum(size for _, size in removed))
    verb = 'would be freed' if args.dry_run else 'freed'
    print(f'{len(removed)} checkpoints, {total} {verb}')
    return 0


# -------------------------------------------------------------------- parts
def _options(args: argparse.Namespace, stored: SlurmOptions) -> SlurmOptions:
    """The options of a sweep, with those of the command line."""
    given = {
        name: getattr(args, name)
        for name in SlurmOptions._fields
        if getattr(args, name, None) is not None
    }
    if 'prologue' in given:
        with open(given['prologue'], encoding='utf-8') as file:
            given['prologue'] = file.read()
    return SlurmOptions.parse({**stored._asdict(), **given})


def _make(
    args: argparse.Namespace, check: Optional[Callable] = None
) -> Manifest:
    """Plan a sweep, check it and write its manifest."""
    changes = {}
    for text in args.set:
        changes.update(parse_assignment(text))
    seeds = parse_values(args.seeds) if args.seeds else None
    spec = read_spec(args.target, changes, seeds)
    folder = args.out or osp.join('work_dirs', spec.name)
    options = _options(args, SlurmOptions())
    keep = args.keep or ''
    return make_manifest(spec, folder, options, keep, args.amp, check)


def _make_or_read(
    args: argparse.Namespace, check: Optional[Callable] = None
) -> Manifest:
    """The sweep in a folder, or one that is planned now."""
    if not osp.isdir(args.target) and osp.isfile(find_config(args.target)):
        return _make(args, check)
    if osp.isfile(osp.join(args.target, SEARCH)):
        raise ValueError(
            f'{args.target} holds a search: `sweep.py search` works on it'
        )
    if any(getattr(args, name, None) for name in PLAN_ARGUMENTS):
        raise ValueError(
            f'{args.target} is not a config or .yaml, and --set, --seeds, '
            '--out, --keep and --amp make a new sweep of one'
        )
    manifest = read_manifest(args.target)
    return manifest._replace(slurm=_options(args, manifest.slurm))


def _to_do(manifest: Manifest) -> List[SweepRun]:
    found = sweep_status(manifest)
    return [one.run for one in found if one.state != DONE and not one.active]
