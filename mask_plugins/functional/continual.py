# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tasks of classes, what is measured after each of them, and the report.

An accuracy matrix has one row per task that was trained: row i holds the
accuracies on the tasks 0 to i after training task i, so that row i has i + 1
numbers. The indices of Lopez-Paz and Ranzato (Gradient Episodic Memory,
arXiv:1706.08840) and of Chaudhry et al. (Riemannian Walk, arXiv:1801.10112)
are functions of it.
"""

import itertools
from typing import Any, Dict, List, Sequence, Tuple, Union

import torch

from mask_plugins.utils.checked import checked
from mask_plugins.utils.checks import check_choice, check_int, check_size
from mask_plugins.utils.markdown import markdown_table

Matrix = Sequence[Sequence[float]]


def class_order(num_classes: int, seed: int = -1) -> List[int]:
    """The order in which classes are learned.

    Args:
        num_classes (int): Number of classes.
        seed (int): Seed of the permutation; -1 keeps the order of the
            dataset. Defaults to -1.

    Returns:
        list[int]: A permutation of the labels; a function of both arguments
        alone; no global generator is used.

    Raises:
        TypeError, ValueError: If ``num_classes`` is below 1 or ``seed`` below
            -1, or not an int.

    Examples:
        >>> class_order(4)
        [0, 1, 2, 3]
        >>> sorted(class_order(4, seed=0))
        [0, 1, 2, 3]
    """
    check_size('num_classes', num_classes)
    check_int('seed', seed, -1)
    if seed < 0:
        return list(range(num_classes))
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(num_classes, generator=generator).tolist()


@checked
def task_bounds(
    num_classes: int, tasks: Union[int, Sequence[int]]
) -> Tuple[int, ...]:
    """Where tasks begin and end among the ordered classes.

    Args:
        num_classes (int): Number of classes.
        tasks (int | Sequence[int]): Number of tasks of equal size, of which
            the first have one class more where it does not divide
            ``num_classes``; or the number of classes of every task.

    Returns:
        tuple[int]: T + 1 numbers: task t has the classes ``bounds[t]`` to
        ``bounds[t + 1] - 1`` of the order.

    Raises:
        TypeError, ValueError: If a task would be empty, or the sizes do not
            add up to ``num_classes``.

    Examples:
        >>> task_bounds(10, 3)
        (0, 4, 7, 10)
        >>> task_bounds(10, [5, 2, 3])
        (0, 5, 7, 10)
    """
    check_int('num_classes', num_classes, 1)
    if isinstance(tasks, (list, tuple)):
        sizes = [check_int('tasks', size, 1) for size in tasks]
        if sum(sizes) != num_classes:
            raise ValueError(
                f'tasks={sizes} have {sum(sizes)} classes, the dataset has '
                f'{num_classes}'
            )
    else:
        if check_int('tasks', tasks, 1) > num_classes:
            raise ValueError(
                f'tasks must be an int in [1, num_classes={num_classes}], '
                f'got {tasks}'
            )
        size, rest = divmod(num_classes, tasks)
        sizes = [size + (task < rest) for task in range(tasks)]
    return (0, *itertools.accumulate(sizes))


def check_matrix(matrix: Matrix) -> None:
    """Check that row i has i + 1 numbers.

    Args:
        matrix (Sequence[Sequence[float]]): Accuracy matrix.

    Raises:
        ValueError: If it is empty or has another shape.
    """
    lengths = [len(row) for row in matrix]
    if not lengths or lengths != list(range(1, len(lengths) + 1)):
        raise ValueError(
            'row i of an accuracy matrix holds the accuracies on the tasks 0 '
            f'to i, got rows of the lengths {lengths}'
        )


def continual_indices(matrix: Matrix) -> Dict[str, float]:
    """The indices of an accuracy matrix.

    - ``average_accuracy`` (ACC): the mean over all tasks after the last one;
    - ``average_incremental_accuracy``: the mean, over the tasks, of the mean
      accuracy after each of them, as Rebuffi et al. (iCaRL,
      arXiv:1611.07725), for tasks of any size;
    - ``forgetting``: how much was lost since the best accuracy, a mean over
      the old tasks; 0 for one task;
    - ``backward_transfer`` (BWT): what later tasks did to earlier ones;
      negative is forgetting; 0 for one task.

    Args:
        matrix (Sequence[Sequence[float]]): Accuracy matrix.

    Examples:
        >>> continual_indices([[90.0], [60.0, 80.0]])['forgetting']
        30.0
    """
    check_matrix(matrix)
    last, old = matrix[-1], range(len(matrix) - 1)
    best = [max(row[task] for row in matrix[task:-1]) for task in old]
    return dict(
        average_accuracy=_mean(last),
        average_incremental_accuracy=_mean([_mean(row) for row in matrix]),
        forgetting=_mean([best[task] - last[task] for task in old]),
        backward_transfer=_mean([last[t] - matrix[t][t] for t in old]),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


# What :class:`mask_plugins.ContinualHook` writes into the work_dir.
REPORT = 'accuracy_matrix'
INDICES = (
    'average_accuracy',
    'average_incremental_accuracy',
    'forgetting',
    'backward_transfer',
)


def continual_report(
    matrix: Matrix, tasks: Sequence[Sequence[str]]
) -> Dict[str, Any]:
    """The indices of an accuracy matrix, with the matrix itself.

    Args:
        matrix (Sequence[Sequence[float]]): In %; a run that has not finished
            has fewer rows than tasks.
        tasks (Sequence[Sequence[str]]): Names of the classes of each task.

    Returns:
        dict: ``tasks``, ``matrix``, ``average_accuracy``,
        ``average_incremental_accuracy``, ``forgetting``,
        ``backward_transfer``.

    Raises:
        ValueError: If row i does not have i + 1 numbers, or there are more
            rows than tasks.

    Examples:
        >>> report = continual_report([[90.0], [60.0, 80.0]], [['a'], ['b']])
        >>> report['average_accuracy'], report['forgetting']
        (70.0, 30.0)
    """
    check_matrix(matrix)
    check_int('number of rows', len(matrix), 1, len(tasks))
    return dict(
        tasks=[list(names) for names in tasks],
        matrix=[list(row) for row in matrix],
        **continual_indices(matrix),
    )


def mean_report(reports: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
    """The mean of several runs, such as of several seeds.

    Args:
        reports (Sequence[dict]): Of :func:`continual_report`. Tasks are
            averaged by their number, also where the class order differs.

    Returns:
        dict: A report with means over the runs; ``runs`` is their number.

    Raises:
        ValueError: If the runs differ in the number of their tasks.
    """
    for report in reports:
        trained = (len(reports[0]['matrix']),)
        check_choice('trained tasks', len(report['matrix']), trained)
    matrix = [
        [_mean(cells) for cells in zip(*rows)]
        for rows in zip(*(report['matrix'] for report in reports))
    ]
    tasks = reports[0]['tasks']
    same = all(report['tasks'] == tasks for report in reports)
    return dict(
        tasks=tasks if same else [[] for _ in tasks],
        matrix=matrix,
        runs=len(reports),
        **{name: _mean([r[name] for r in reports]) for name in INDICES},
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
    rows = []
    for number, row in enumerate(report['matrix'], 1):
        cells = [f'{value:.2f}' for value in row]
        cells += [''] * (len(names) - len(row))
        rows.append([f'task {number}', *cells, f'{_mean(row):.2f}'])
    lines = markdown_table(['after', *names, 'mean'], rows)
    lines.append('')
    lines += [
        f'- {name.replace("_", " ")}: {report[name]:.2f}' for name in INDICES
    ]
    runs = report.get('runs', 1)
    if runs > 1:
        lines.append(f'- mean of {runs} runs')
    return '\n'.join(lines) + '\n'
