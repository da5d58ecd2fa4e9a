# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What was known of every task after each task."""

from typing import Any, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figure import draw_matrix, new_figure, run_style, shared_legend, styled

# Cells of larger matrices are too small for a number.
MOST_NUMBERS = 12
# More curves cannot be told apart; black is that of the mean.
MOST_CURVES = 6


@styled
def draw_accuracy_matrix(report: Mapping[str, Any], title: str = '') -> Figure:
    """Draw an accuracy matrix.

    Args:
        report (Mapping): What ``continual_report`` returned.
        title (str): Above the picture. Defaults to '', none.

    Returns:
        Figure: On the left the matrix, a row per task that was trained; on
        the right the accuracy on each task (up to six of them) over the
        training, and the mean of all seen so far.

    Examples:
        >>> from mask_plugins.functional.continual import continual_report
        >>> report = continual_report([[90.0], [70.0, 80.0]], [['a'], ['b']])
        >>> figure = draw_accuracy_matrix(report, 'two tasks')
        >>> len(figure.axes) >= 2
        True
    """
    count = len(report['matrix'])
    matrix = np.full((count, count), np.nan)
    for number, row in enumerate(report['matrix']):
        matrix[number, : number + 1] = row
    height = 2.2 + 0.32 * min(count, MOST_NUMBERS)
    figure = new_figure(8.4, height)
    left, right = figure.subplots(1, 2)
    _cells(left, matrix)
    _curves(right, matrix)
    shared_legend(figure, right, columns=6)
    indices = (
        f'average accuracy {report["average_accuracy"]:.1f} %, forgetting '
        f'{report["forgetting"]:.1f}, backward transfer '
        f'{report["backward_transfer"]:.1f}'
    )
    figure.suptitle(f'{title}\n{indices}' if title else indices, fontsize=10)
    return figure


def _cells(axes: Axes, matrix: np.ndarray) -> None:
    count = len(matrix)
    few = count <= MOST_NUMBERS
    draw_matrix(axes, matrix, lambda *at: f'{matrix[at]:.0f}' * few, 100)
    ticks = range(0, count, -(-count // MOST_NUMBERS))
    axes.set_xticks(ticks, [tick + 1 for tick in ticks])
    axes.set_yticks(ticks, [tick + 1 for tick in ticks])
    axes.set(xlabel='accuracy [%] on task', ylabel='after training task')


def _curves(axes: Axes, matrix: np.ndarray) -> None:
    count = len(matrix)
    after = np.arange(1, count + 1)
    for task in range(min(count, MOST_CURVES)):
        style = run_style(task, linewidth=1.2, clip_on=False)
        label = f'task {task + 1}'
        axes.plot(after[task:], matrix[task:, task], label=label, **style)
    axes.plot(
        after, np.nanmean(matrix, axis=1), color='black', linestyle='--',
        linewidth=2, label='mean of seen tasks', clip_on=False,
    )  # fmt: skip
    axes.set(
        ylim=(0, 100), xticks=after[:: -(-count // MOST_NUMBERS)],
        xlabel='after training task', ylabel='accuracy [%]',
    )  # fmt: skip
