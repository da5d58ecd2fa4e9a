# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The figure of the scaling benchmark."""

from matplotlib.figure import Figure

from mask_plugins.visualization.figure import COLORS, new_figure, styled

from .scaling import BASELINE, OURS
from .statistics import machine_title, medians


@styled
def plot_scaling(result: dict) -> Figure:
    """Time against size, both as logarithms.

    Args:
        result (dict): What :meth:`ScalingBenchmark.run` returned.

    Returns:
        matplotlib.figure.Figure: A line per part; what it is compared with
        is dashed.
    """
    figure = new_figure(6, 4)
    ax = figure.subplots()
    parts = result['settings']['parts']
    slopes = {(r['part'], r['kind']): r['slope'] for r in result['slopes']}
    for index, part in enumerate(parts):
        for kind, line in ((OURS, 'o-'), (BASELINE, 's--')):
            rows = [
                row
                for row in result['costs']
                if (row['part'], row['kind']) == (part, kind)
            ]
            if not rows:
                continue
            median, errors = medians(rows, 'ms')
            label = None
            if kind == OURS:
                slope = slopes.get((part, kind))
                label = part if slope is None else f'{part}, slope {slope:.2f}'
            ax.errorbar(
                [row['n'] for row in rows], median / 1000, errors / 1000,
                fmt=line, color=COLORS[index % len(COLORS)], label=label,
                markersize=3,
            )  # fmt: skip
    ax.set(xscale='log', yscale='log', xlabel='n', ylabel='time [s]')
    ax.legend(title='dashed: the baseline')
    title = machine_title(result['machine'], 'one call')
    figure.suptitle(title, fontsize='small')
    return figure
