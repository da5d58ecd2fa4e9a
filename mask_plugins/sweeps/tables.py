# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Sweeps as text on a terminal."""

from collections import Counter
from typing import List, Sequence

from rich import box
from rich.table import Table

from mask_plugins.engine.launching.wall_time import format_time

from .manifest import Manifest
from .options import format_options
from .run_status import STATES, RunStatus

_COLORS = {
    'done': 'green',
    'running': 'cyan',
    'preempted': 'yellow',
    'failed': 'red',
}


def plan_table(manifest: Manifest) -> Table:
    """The runs of a sweep and what each sets."""
    table = Table(box=box.SIMPLE)
    for column in ('index', 'work_dir', 'settings'):
        table.add_column(column, overflow='fold')
    for run in manifest.runs:
        settings = '\n'.join(format_options(run.overrides))
        table.add_row(str(run.index), run.work_dir, settings)
    return table


def size_line(manifest: Manifest) -> str:
    """How many runs, and how many hours if that was measured."""
    text = f'{len(manifest.runs)} runs'
    hours = manifest.hours()
    if hours is None:
        return f'{text}; --measure estimates the hours from one epoch'
    on = (
        f', measured on {manifest.measured_on}' if manifest.measured_on else ''
    )
    each = f'{manifest.seconds_per_epoch:.3g} s per epoch'
    return f'{text}, {hours:.2g} hours one after the other ({each}{on})'


def status_table(statuses: Sequence[RunStatus], metric: str) -> Table:
    """One line per run."""
    table = Table(box=box.SIMPLE)
    for column in ('index', 'run', 'state', 'trained'):
        table.add_column(column, overflow='fold', no_wrap=column == 'run')
    table.add_column(f'best {metric}', justify='right')
    table.add_column('left', justify='right')
    table.add_column('detail', overflow='fold')
    for status in statuses:
        table.add_row(*_cells(status))
    return table


def _cells(status: RunStatus) -> List[str]:
    trained = str(status.iterations or '-')
    if status.total:
        share = 100 * status.iterations // status.total
        trained = f'{status.iterations}/{status.total} ({share} %)'
    color = _COLORS.get(status.state)
    state = f'[{color}]{status.state}[/]' if color else status.state
    left = '-'
    if status.seconds_left is not None:
        left = format_time(status.seconds_left)
    return [
        str(status.run.index),
        status.run.name,
        state,
        trained,
        '-' if status.best is None else f'{status.best:.2f}',
        left,
        # Brackets of a message are no markup.
        status.detail.replace('[', r'\['),
    ]


def summary_line(statuses: Sequence[RunStatus]) -> str:
    """How many runs are in which state."""
    count = Counter(status.state for status in statuses)
    parts = [f'{count[state]} {state}' for state in STATES if count[state]]
    return f'{len(statuses)} runs: ' + ', '.join(parts)
