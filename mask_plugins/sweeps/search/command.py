# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""``sweep.py search``: plan it, work on it, and say what was found."""

import argparse
import os.path as osp
import signal
import subprocess
import sys
from typing import Any, Dict, List

from mask_plugins.analysis.cli import make_table, show
from mask_plugins.analysis.runs.run_comparison import Metric
from mask_plugins.engine.checkpoint.run_state import EXIT_PREEMPTED
from mask_plugins.engine.hooks.tracker_hook import SWEEP_VARIABLE
from mask_plugins.utils.checks import check_int
from mask_plugins.utils.files import write_json

from ..local_runner import run_environment
from .spec import SEARCH, SearchSpec, make_search, read_search, write_search
from .study import Search
from .worker import SIGNALS, Worker

RESULT = 'search_result.json'
PICTURE = 'search.png'


def search(args: argparse.Namespace, tools: str) -> int:
    """Work on a search until no trial is left."""
    if osp.isfile(osp.join(args.target, SEARCH)):
        folder = args.target
        spec = read_search(folder)
        if args.out:
            raise ValueError('--out is for a new search')
        if args.trials is not None:
            spec = spec._replace(trials=check_int('--trials', args.trials, 1))
            write_search(folder, spec, None)
    else:
        spec, cfg = make_search(args.target, args.trials)
        folder = args.out or osp.join('work_dirs', spec.name)
        write_search(folder, spec, cfg)
    if args.jobs > 1:
        # Made before the workers start, which then find it.
        found = _open(folder, spec)
        code = _several(folder, args.jobs)
        return _end(found, code)
    env = run_environment(0, 1, 1)
    env[SWEEP_VARIABLE] = spec.name
    found = _open(folder, spec)
    trainer = osp.join(tools, 'train.py')
    try:
        code = Worker(found, trainer, env).run()
    except RuntimeError as error:
        raise SystemExit(f'error: {error}') from error
    return code if args.quiet else _end(found, code)


def _open(folder: str, spec: SearchSpec) -> Search:
    try:
        return Search(folder, spec)
    except ImportError as error:
        raise SystemExit(f'error: {error}') from error


def _end(found: Search, code: int) -> int:
    """Say how it ended; the exit code."""
    if code == EXIT_PREEMPTED:
        print('stopped: what trained has saved; the same command continues')
    else:
        write_result(found)
    return code


def _several(folder: str, jobs: int) -> int:
    """Several workers on this machine, each with its share of it."""
    command = [sys.executable, sys.argv[0], 'search', folder, '--quiet']
    processes = [
        subprocess.Popen(
            command,
            env=run_environment(slot, jobs, 1),
            start_new_session=True,
        )
        for slot in range(jobs)
    ]

    def pass_on(signum: int, frame: Any) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    for signum in SIGNALS:
        signal.signal(signum, pass_on)
    return max((abs(process.wait()) for process in processes), default=0)


def write_result(found: Search) -> None:
    """Print the trials, and write them and their picture into the folder."""
    # Only now: they import matplotlib, which no worker needs.
    from mask_plugins.visualization.figure import save_figure
    from mask_plugins.visualization.search import draw_search

    rows = result_rows(found)
    spec = found.spec
    metric = Metric.parse(spec.metric)
    keys = [axis.key.lstrip('+') for axis in spec.space]
    columns = ['trial', 'state', 'epochs', metric.title, *keys]
    cells = [
        [
            row['number'],
            row['state'],
            row['epochs'],
            None if row['value'] is None else f'{row["value"]:.4g}',
            *[_text(row['params'].get(key)) for key in keys],
        ]
        for row in rows
    ]
    show(make_table(columns, cells))
    complete = [row for row in rows if row['state'] == 'complete']
    best = None
    if complete:
        pick = max if spec.direction == 'maximize' else min
        best = pick(complete, key=lambda row: row['value'])
        print(
            f'best: trial {best["number"]}, {metric.title} '
            f'{best["value"]:.4g}, '
            f'{osp.join(found.folder, "runs", best["run"])}'
        )
    result = dict(
        metric=metric.key,
        direction=spec.direction,
        best=best,
        trials=rows,
    )
    path = write_json(osp.join(found.folder, RESULT), result)
    print(f'wrote {path}')
    picture = osp.join(found.folder, PICTURE)
    figure = draw_search(dict(result, metric=metric.title))
    print(f'wrote {save_figure(figure, picture, dpi=150)}')


def result_rows(found: Search) -> List[Dict[str, Any]]:
    """Each trial, with its value: the last reported one where it was ended."""
    rows = []
    for trial in found.trials():
        steps = trial.intermediate_values
        value = trial.value if trial.state.name == 'COMPLETE' else None
        if value is None and steps:
            value = steps[max(steps)]
        rows.append(
            dict(
                number=trial.number,
                run=f'trial-{trial.number:04}',
                state=trial.state.name.lower(),
                value=value,
                epochs=max(steps, default=0),
                params={k.lstrip('+'): v for k, v in trial.params.items()},
                values={str(step): steps[step] for step in sorted(steps)},
            )
        )
    return rows


def _text(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)
