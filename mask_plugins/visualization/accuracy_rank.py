# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Accuracy against the rank of the features."""

from typing import Any, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from .figure import color_of, new_figure, run_style, shared_legend, styled


@styled
def draw_accuracy_rank(
    groups: Sequence[Mapping[str, Any]],
    accuracy: str = 'top-1 [%]',
    rank: str = 'RankMe',
) -> Figure:
    """Draw where runs end: each a point, groups by color and marker.

    Args:
        groups (Sequence[Mapping]): ``name``, and arrays ``rank`` and
            ``accuracy`` of equal length, one entry per run.
        accuracy (str): Label of the y axis.
        rank (str): Label of the x axis.

    Returns:
        Figure: Of several runs the mean is large, with bars of one standard
        deviation.

    Examples:
        >>> group = dict(name='ce', rank=np.ones(2), accuracy=np.ones(2))
        >>> draw_accuracy_rank([group]).axes[0].get_xlabel()
        'RankMe'
    """
    figure = new_figure(5.4, 4.0)
    axes = figure.subplots()
    for number, group in enumerate(groups):
        x = np.asarray(group['rank'], dtype=float)
        y = np.asarray(group['accuracy'], dtype=float)
        spread = {}
        if len(x) > 1:
            axes.scatter(
                x, y, s=10, color=color_of(number), alpha=0.4, linewidths=0
            )
            spread = dict(xerr=x.std(ddof=1), yerr=y.std(ddof=1))
        label = f'{group["name"]} (n = {len(x)})'
        style = run_style(number, markersize=6, linestyle='none', elinewidth=1)
        axes.errorbar(x.mean(), y.mean(), label=label, **spread, **style)
    axes.margins(0.1)
    axes.set(xlabel=rank, ylabel=accuracy)
    shared_legend(figure, axes, columns=2)
    return figure
