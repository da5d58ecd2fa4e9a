# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How long the iterations of one epoch take, by drop ratio."""

from typing import Any, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figure import color_of, new_figure, note, shared_legend, styled


@styled
def draw_train_times(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the iteration times of one epoch of several runs.

    Args:
        runs (Sequence[Mapping]): Per run ``name``, ``epoch``, the arrays
            ``iteration`` (within the epoch) and ``ms``, and ``segments``,
            the stretches of constant ratio: mappings of ``first``, ``last``
            (iterations), ``drop_ratio`` (or None) and ``mean_ms``.

    Returns:
        Figure: A point per iteration; a dashed line per segment, with its
        mean and its drop ratio.

    Examples:
        >>> stretch = dict(first=0, last=1, drop_ratio=0.8, mean_ms=12.5)
        >>> run = dict(name='a', epoch=1, iteration=[0, 1], ms=[12, 13],
        ...            segments=[stretch])
        >>> draw_train_times([run]).axes[0].get_ylabel()
        'time of an iteration [ms]'
    """
    figure = new_figure(8.4, 4.2)
    axes = figure.subplots()
    for number, run in enumerate(runs):
        color = color_of(number)
        points = dict(alpha=0.35, linestyle='none', marker='.', markersize=3)
        axes.plot(
            run['iteration'], run['ms'], color=color, rasterized=True, **points
        )
        for segment in run['segments']:
            _draw_segment(axes, segment, color)
        label = f'{run["name"]} (epoch {run["epoch"] + 1})'
        axes.plot([], [], color=color, label=label)
    # Room above for the labels of the highest segments.
    top = max((s['mean_ms'] for r in runs for s in r['segments']), default=1)
    highest = max((max(r['ms']) for r in runs if len(r['ms'])), default=1)
    axes.set_ylim(0, max(1.25 * top, min(1.05 * highest, 1.6 * top)))
    axes.margins(x=0.02)
    axes.set(
        xlabel='iteration within the epoch', ylabel='time of an iteration [ms]'
    )
    shared_legend(figure, axes)
    return figure


def _draw_segment(axes: Axes, segment: Mapping[str, Any], color: str) -> None:
    first, last = segment['first'], segment['last']
    mean, drop = segment['mean_ms'], segment['drop_ratio']
    dashes = dict(linestyle=(0, (4, 1.5)), linewidth=2)
    axes.hlines(mean, first - 0.5, last + 0.5, color=color, **dashes)
    text = f'{mean:.0f}' if mean >= 100 else f'{mean:.1f}'
    if drop is not None:
        text += f'\n$d$ {drop:.2g}'
    box = dict(boxstyle='round,pad=0.1', fc='white', ec='none', alpha=0.75)
    at = (first + last) / 2, mean
    note(axes, text, at, (0, 5), va='bottom', color=color, bbox=box)
