# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The accuracy matrix of continual learning as JSON and as a table."""

from typing import Any, Dict, List, Sequence

from .continual import (
    Matrix,
    average_accuracy,
    average_incremental_accuracy,
    backward_transfer,
    check_matrix,
    forgetting,
)

# What :class:`mask_plugins.ContinualHook` writes into the work_dir.
REPORT = 'accuracy_matrix'
INDICES = dict(
    average_accuracy=average_accuracy,
    average_incremental_accuracy=average_incremental_accuracy,
    forgetting=forgetting,
    backward_transfer=backward_transfer,
)


def continual_report(
    matrix: Matrix, tasks: Sequence[Sequence[str]]
) -> Dict[str, Any]:
    """What is to be said of an accuracy matrix.

    Args:
        matrix (Sequence[Sequence[float]]): In %; a run that has not finished
            has fewer rows than tasks.
        tasks (Sequence[Sequence[str]]): Names of the classes of each task.

    Returns:
        dict: ``tasks``, ``matrix``, ``average_accuracy``,
        ``average_incremental_accuracy``, ``forgetting``,
        ``backward_transfer``.

    Raises:
        ValueError: If row i has not i + 1 numbers, or there are more rows
            than tasks.
    """
    check_matrix(matrix)
    if len(matrix) > len(tasks):
        raise ValueError(
            f'the matrix has {len(matrix)} rows for {len(tasks)} tasks'
        )
    return dict(
        tasks=[list(names) for names in tasks],
        matrix=[list(row) for row in matrix],
        **{name: function(matrix) for name, function in INDICES.items()},
    )


def mean_report(reports: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
    """The mean of several runs, such as of several seeds.

    Args:
        reports (Sequence[dict]): Of :func:`continual_report`. Where the class
            order differs, so does what the tasks are; they are averaged by
            their number.

    Returns:
        dict: As one report; ``runs`` is their number. The indices are means
        over the runs.

    Raises:
        ValueError: If the runs differ in the number of their tasks.
    """
    shapes = sorted({len(report['matrix']) for report in reports})
    if len(shapes) != 1:
        raise ValueError(
            f'runs must have trained equally many tasks, got {shapes}'
        )
    count = len(reports)
    matrix = [
        [sum(cells) / count for cells in zip(*rows)]
        for rows in zip(*(report['matrix'] for report in reports))
    ]
    same = all(report['tasks'] == reports[0]['tasks'] for report in reports)
    tasks = reports[0]['tasks']
    return dict(
        tasks=tasks if same else [[] for _ in tasks],
        matrix=matrix,
        runs=count,
        **{
            name: sum(report[name] for report in reports) / count
            for name in INDICES
        },
    )


def matrix_table(report: Dict[str, Any]) -> str:
    """The matrix as a Markdown table, and the indices below it.

    Args:
        report (dict): Of :func:`continual_report` or :func:`mean_report`.
    """
    columns = range(1, len(report['matrix']) + 1)
    names = [
        f'task {number}' + (f' ({", ".join(names)})' if names else '')
        for number, names in zip(columns, report['tasks'])
    ]
    lines: List[str] = [
        '| after | ' + ' | '.join(names) + ' | mean |',
        '| --- ' + '| ---: ' * (len(names) + 1) + '|',
    ]
    for number, row in enumerate(report['matrix'], 1):
        cells = [f'{value:.2f}' for value in row]
        cells += [''] * (len(names) - len(row))
        cells.append(f'{sum(row) / len(row):.2f}')
        lines.append(f'| task {number} | ' + ' | '.join(cells) + ' |')
    lines.append('')
    lines += [
        f'- {name.replace("_", " ")}: {report[name]:.2f}' for name in INDICES
    ]
    runs = report.get('runs', 1)
    if runs > 1:
        lines.append(f'- mean of {runs} runs')
    return '\n'.join(lines) + '\n'
