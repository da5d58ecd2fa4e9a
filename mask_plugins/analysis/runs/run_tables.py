# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The rows of :func:`run_comparison.summarize` as text."""

import csv
import io
from typing import Any, Dict, List, Sequence

from mask_plugins.utils.markdown import markdown_table

from .run_comparison import Metric


def header(rows: Sequence[Dict[str, Any]]) -> List[str]:
    """Names of the columns of :func:`cells`.

    Examples:
        >>> mean = dict(mean=90.0, std=1.0, n=2)
        >>> rows = [dict(name='a', n=2, columns={'acc1 final': mean})]
        >>> header(rows)
        ['run', 'n', 'final top-1 [%]']
    """
    return ['run', 'n', *map(_title, rows[0]['columns'] if rows else ())]


def _title(column: str) -> str:
    """``acc1 final`` to ``final top-1 [%]``."""
    key, _, kind = column.rpartition(' ')
    return f'{kind} {Metric(key).title}' if key else column


def cells(row: Dict[str, Any], digits: int = 2) -> List[str]:
    """A row as text: ``mean ± standard deviation``.

    Examples:
        >>> mean = dict(mean=90.0, std=1.0, n=2)
        >>> cells(dict(name='a', n=2, columns={'acc1 final': mean}))
        ['a', '2', '90.00 ± 1.00']
    """
    out = [row['name'], str(row['n'])]
    for name, spread in row['columns'].items():
        places = 3 if name == 'hours' else digits
        if spread['mean'] is None:
            out.append('-')
            continue
        text = f'{spread["mean"]:.{places}f}'
        if spread['std'] is not None:
            text += f' ± {spread["std"]:.{places}f}'
        # Where a run has no such metric, n is not that of the row.
        if spread['n'] != row['n']:
            text += f' (n = {spread["n"]})'
        out.append(text)
    return out


def to_markdown(rows: Sequence[Dict[str, Any]], notes: Sequence[str]) -> str:
    """A Markdown table; notes below it.

    Examples:
        >>> mean = dict(mean=90.0, std=1.0, n=2)
        >>> rows = [dict(name='a', n=2, columns={'acc1 final': mean})]
        >>> print(to_markdown(rows, []).splitlines()[2])
        | a | 2 | 90.00 ± 1.00 |
    """
    lines = markdown_table(header(rows), map(cells, rows))
    lines += ['', 'Mean ± standard deviation over the n runs of a row.']
    lines += [f'- {note}' for note in notes]
    return '\n'.join(lines) + '\n'


def to_csv(rows: Sequence[Dict[str, Any]]) -> str:
    """A table of numbers: mean, standard deviation and n per column.

    Examples:
        >>> mean = dict(mean=90.0, std=1.0, n=2)
        >>> rows = [dict(name='a', n=2, columns={'acc1 final': mean})]
        >>> to_csv(rows).splitlines()[1]
        'a,2,90.0,1.0,2'
    """
    table = []
    for row in rows:
        line = dict(run=row['name'], n=row['n'])
        for name, spread in row['columns'].items():
            short = name.replace(' ', '_')
            line[f'{short}_mean'] = spread['mean']
            line[f'{short}_std'] = spread['std']
            line[f'{short}_n'] = spread['n']
        table.append(line)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(table[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue()
