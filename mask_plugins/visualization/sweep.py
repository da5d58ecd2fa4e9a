# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Accuracy and throughput against the drop ratio."""

from typing import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figure import (
    DROP_RATIO_LABEL,
    new_figure,
    note,
    run_style,
    shared_legend,
    styled,
)

Records = Sequence[Mapping[str, float]]


@styled
def draw_sweep(sweeps: Mapping[str, Records]) -> Figure:
    """Draw what ``sweep_drop`` measured, of one model or of several.

    Args:
        sweeps (Mapping): Name of the model to its records, the lines of
            ``sweep_drop.json``.

    Returns:
        Figure: Accuracy on the left, throughput on the right; the drop ratio
        grows from left to right.

    Examples:
        >>> records = [dict(drop_ratio=0.5, acc1=90, throughput=10)]
        >>> left, right = draw_sweep(dict(model=records)).axes
        >>> left.lines[0].get_xdata().tolist()
        [0.5]
    """
    figure = new_figure(8.4, 3.6)
    left, right = figure.subplots(1, 2)
    draw_accuracy(left, sweeps)
    _lines(right, sweeps, 'throughput')
    # With several models the numbers would lie on top of each other.
    if len(sweeps) == 1:
        (records,) = sweeps.values()
        label_throughput(right, records, 'throughput', side='left')
    right.set(title='throughput', ylabel='images / s (forward pass alone)')
    right.set_ylim(0, 1.1 * right.dataLim.y1)
    right.margins(x=0.1)
    if len(sweeps) > 1:
        shared_legend(figure, left)
    return figure


def draw_accuracy(axes: Axes, sweeps: Mapping[str, Records]) -> None:
    """One line per model: top-1 accuracy in %."""
    _lines(axes, sweeps, 'acc1')
    axes.set(title='accuracy', ylabel='top-1 [%]')
    axes.margins(y=0.12)


def label_throughput(axes: Axes, records: Records, at: str, side: str) -> None:
    """Write images/s above the points of ``at``, on the side of no line."""
    left = side == 'left'
    for record in records:
        if record.get(at) is None or record.get('throughput') is None:
            continue
        note(
            axes, f'{record["throughput"]:.0f}',
            (record['drop_ratio'], record[at]), (-1 if left else 1, 5),
            ha='right' if left else 'left',
        )  # fmt: skip


def _lines(axes: Axes, sweeps: Mapping[str, Records], key: str) -> None:
    for number, (name, records) in enumerate(sweeps.items()):
        points = sorted(
            (record['drop_ratio'], record[key])
            for record in records
            if record.get(key) is not None
        )
        style = run_style(number, markersize=4.5, label=name)
        axes.plot(*zip(*points), **style)
    axes.set_xlabel(DROP_RATIO_LABEL)
