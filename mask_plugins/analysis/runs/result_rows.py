# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Rows of the results page: what is run, what came out, what is written."""

import os
import textwrap
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from mask_plugins.utils.files import read_json
from mask_plugins.utils.markdown import markdown_table

FORMAT = 1
NEEDED = {'format', 'row', 'runs', 'machine', 'command', 'commit', 'date'}
Record = Dict[str, Any]


def read_results(folder: str) -> Dict[str, Record]:
    """The results in a folder, one JSON file per row.

    Args:
        folder (str): Holds ``<row>.json``. A folder that does not exist has
            no results.

    Returns:
        dict: Name of the row to its record: ``row`` (the settings of the row
        as in rows.yml), ``runs`` (``seed``, ``value`` and ``seconds`` of
        training and validation each), ``machine``, ``command``, ``commit``,
        ``date`` and, where there is one, ``note``.

    Raises:
        ValueError: If a file is not such a record.

    Examples:
        >>> read_results('no/such/folder')
        {}
    """
    found = {}
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for name in names:
        if not name.endswith('.json'):
            continue
        path = os.path.join(folder, name)
        record = read_json(path)
        missing = NEEDED - set(record if isinstance(record, dict) else ())
        if missing or record['format'] != FORMAT:
            raise ValueError(
                f'{path} is not a result of format {FORMAT}; missing: '
                f'{", ".join(sorted(missing)) or "nothing"}'
            )
        found[record['row']['name']] = record
    return found


def mean_and_spread(record: Mapping) -> str:
    """The mean over seeds and, of several, the standard deviation.

    Examples:
        >>> mean_and_spread(dict(runs=[dict(value=98.0), dict(value=99.0)]))
        '98.50 ± 0.71'
        >>> mean_and_spread(dict(runs=[dict(value=98.0)]))
        '98.00'
    """
    values = [run['value'] for run in record['runs']]
    text = f'{np.mean(values):.2f}'
    if len(values) > 1:
        text += f' ± {np.std(values, ddof=1):.2f}'
    return text


def left_spread(new: Mapping, old: Mapping) -> Optional[str]:
    """Say where a value left the spread of an earlier result, else None.

    It left if its mean is further from the earlier mean than twice the
    earlier deviation, which counts as at least ``resolution`` of the row.

    Args:
        new (Mapping): The record of a row.
        old (Mapping): An earlier record of the same row.

    Examples:
        >>> row = dict(name='a', resolution=0.3)
        >>> old = dict(row=row, runs=[dict(value=98.0), dict(value=98.2)])
        >>> left_spread(dict(row=row, runs=[dict(value=98.5)]), old)
        >>> left_spread(dict(row=row, runs=[dict(value=97.0)]), old)
        'a: 97.00, published 98.10 ± 0.14, allowed 97.50 to 98.70'
    """
    values = [run['value'] for run in old['runs']]
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    allowed = 2 * max(float(spread), old['row']['resolution'])
    center = float(np.mean(values))
    value = float(np.mean([run['value'] for run in new['runs']]))
    if abs(value - center) <= allowed:
        return None
    return (
        f'{old["row"]["name"]}: {mean_and_spread(new)}, published '
        f'{mean_and_spread(old)}, allowed {center - allowed:.2f} to '
        f'{center + allowed:.2f}'
    )


def results_page(
    rows: Sequence[Mapping], results: Mapping[str, Record]
) -> str:
    """The results page, in Markdown.

    Args:
        rows (Sequence[Mapping]): All rows, in their order; those without a
            result are listed as not measured.
        results (Mapping): What :func:`read_results` returned.

    Examples:
        >>> row = dict(name='a', method='A', config='a.py', data='digits',
        ...            metric='acc1', unit='top-1 [%]', resolution=0.3)
        >>> print(results_page([row], {}).splitlines()[-1])
        | A | digits | `a.py` |
    """
    measured = [row for row in rows if row['name'] in results]
    open_rows = [row for row in rows if row['name'] not in results]
    columns = ['method', 'data', 'metric', 'value', 'seeds', 's per run']
    columns += ['published', 'comparable', 'commit']
    lines: List[str] = [
        '# Results',
        '',
        '<!-- Written by tools/results.py from results/*.json. -->',
        '',
        'Last epoch, mean ± standard deviation over the seeds. Each row comes '
        'from the JSON',
        'file of its name in `docs/results/`, which the runs wrote: '
        '[how to run a row](results_format.md).',
        'Measurements before this page, with their conditions, are in '
        '[Measurements](measurements/index.md)',
        "and the methods' READMEs.",
        '',
        '## Measured',
        '',
    ]
    cells = [_cells(row, results[row['name']]) for row in measured]
    lines += markdown_table(columns, cells, text=3) if cells else ['None yet.']
    for row in measured:
        lines += ['', *_conditions(row, results[row['name']])]
    if open_rows:
        lines += ['', '## Not measured yet', '']
        lines += ['| method | data | config |', '|---|---|---|']
        lines += [
            f'| {row["method"]} | {row["data"]} | `{row["config"]}` |'
            for row in open_rows
        ]
    return '\n'.join(lines) + '\n'


def _cells(row: Mapping, record: Record) -> List[str]:
    runs = record['runs']
    seconds = np.mean([run['seconds'] for run in runs])
    comparable = {None: '-', True: 'yes', False: 'no'}
    return [
        row['method'],
        row['data'],
        row['unit'],
        mean_and_spread(record),
        ', '.join(str(run['seed']) for run in runs),
        f'{seconds:.0f}',
        row.get('published', '-'),
        comparable[row.get('comparable')],
        f'`{record["commit"]}`',
    ]


def _conditions(row: Mapping, record: Record) -> List[str]:
    values = ', '.join(f'{run["value"]:.2f}' for run in record['runs'])
    note = f' {record["note"]}' if record.get('note') else ''
    text = (
        f'**{row["method"]}, {row["data"]}**: {values}. {record["machine"]}, '
        f'{record["date"]}.{note}'
    )
    return [
        *textwrap.wrap(text, 100, break_long_words=False),
        '',
        '```bash',
        record['command'],
        '```',
    ]
