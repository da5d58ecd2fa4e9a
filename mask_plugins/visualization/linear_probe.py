# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Accuracy of linear probes against their weight of L2."""

from typing import Any, Mapping, Sequence

from matplotlib.figure import Figure

from .figure import new_figure, note, run_style, shared_legend, styled

PARTS = (
    ('train_top1', 'training set'),
    ('holdout_top1', 'held-out tenth of it'),
    ('test_top1', 'test set'),
)


@styled
def draw_linear_probe(
    records: Sequence[Mapping[str, Any]], title: str = ''
) -> Figure:
    """Draw what a sweep of L2 gave.

    Args:
        records (Sequence[Mapping]): ``l2``, ``train_top1``, ``holdout_top1``
            (or None), ``test_top1`` and ``chosen`` of each.
        title (str): Above the axes. Defaults to ''.

    Returns:
        Figure: The chosen one has a ring and its accuracy.

    Examples:
        >>> record = dict(l2=1.0, train_top1=90.0, holdout_top1=None,
        ...               test_top1=80.0, chosen=True)
        >>> len(draw_linear_probe([record]).axes)
        1
    """
    figure = new_figure(5.2, 3.6)
    axes = figure.subplots()
    weights = [record['l2'] for record in records]
    for number, (key, label) in enumerate(PARTS):
        values = [record[key] for record in records]
        if None in values:
            continue
        axes.plot(weights, values, label=label, **run_style(number))
    for record in records:
        if record['chosen']:
            point = record['l2'], record['test_top1']
            ring = dict(markersize=10, markerfacecolor='none')
            axes.plot(*point, **run_style(len(PARTS) - 1, marker='o', **ring))
            note(axes, f'{point[1]:.2f} %', point, (0, -14), fontsize=9)
    axes.margins(y=0.15)
    axes.set(
        xscale='log', xlabel=r'weight of L2, $\lambda$',
        ylabel='top-1 [%]', title=title,
    )  # fmt: skip
    shared_legend(figure, axes)
    return figure
