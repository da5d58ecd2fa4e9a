# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Sweeps as text on a terminal."""

from collections import Counter
from typing import List, Optional, Sequence

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mask_plugins.analysis.cli import make_table
from mask_plugins.core.weights.report import text_table
from mask_plugins.engine.launching.wall_time import format_time

from .manifest import Manifest
from .options import format_options
from .run_status import STATES, RunStatus

# Longer tables are text without colors: drawing takes a millisecond a row.
MOST_DRAWN = 1000
_COLORS = dict(done='green', running='cyan', preempted='yellow', failed='red')


def plan_table(manifest: Manifest) -> Table:
    """The runs of a sweep and what each sets."""
    rows = [
        [run.index, run.work_dir, '\n'.join(format_options(run.overrides))]
        for run in manifest.runs
    ]
    return make_table(['index', 'work_dir', 'settings'], rows)


def size_line(manifest: Manifest) -> str:
    """How many runs, and how many hours if that was measured."""
    text = f'{len(manifest.runs)} runs'
    hours = manifest.hours()
    if hours is None:
        return f'{text}; --measure estimates the hours from one epoch'
    on = manifest.measured_on and f', measured on {manifest.measured_on}'
    each = f'{manifest.seconds_per_epoch:.3g} s per epoch'
    return f'{text}, {hours:.2g} hours one after the other ({each}{on})'


def status_page(statuses: Sequence[RunStatus], metric: str) -> Group:
    """One line per run, and how many runs are in which state."""
    columns = ['index', 'run', 'state', 'trained', f'best {metric}', 'left']
    columns.append('detail')
    rows = [_cells(status) for status in statuses]
    if len(rows) > MOST_DRAWN:
        plain = [[_plain(cell) for cell in row] for row in rows]
        table = Text(text_table([columns, *plain]))
    else:
        table = make_table(columns, rows, right=(4, 5))
    count = Counter(status.state for status in statuses)
    parts = [f'{count[state]} {state}' for state in STATES if count[state]]
    return Group(
        table,
        f'{len(statuses)} runs: ' + ', '.join(parts),
    )


def _plain(cell: Optional[str]) -> str:
    return '-' if cell is None else Text.from_markup(cell).plain


def _cells(status: RunStatus) -> List[Optional[str]]:
    trained = str(status.iterations or '-')
    if status.total:
        share = 100 * status.iterations // status.total
        trained = f'{status.iterations}/{status.total} ({share} %)'
    color = _COLORS.get(status.state, 'default')
    left, best = status.seconds_left, status.best
    return [
        str(status.run.index),
        status.run.name,
        f'[{color}]{status.state}[/]',
        trained,
        None if best is None else f'{best:.2f}',
        None if left is None else format_time(left),
        escape(status.detail),
    ]
