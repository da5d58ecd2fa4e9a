# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Losses and accuracies against epochs and against hours."""

from typing import Any, Mapping, Optional, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figure import (
    color_of,
    marker_of,
    new_figure,
    run_style,
    shared_legend,
    styled,
    thin,
    time_unit,
)
from .sweep import draw_accuracy, label_throughput

Curve = Mapping[str, Any]


@styled
def draw_curves(
    curves: Sequence[Curve], label: str, title: str = ''
) -> Figure:
    """Draw one quantity of several runs against epochs and against time.

    Args:
        curves (Sequence[Mapping]): Per run ``name`` and arrays of equal
            length: ``epoch``, ``hours`` (cumulative training time) and
            ``value``. Optional: ``raw``, drawn pale behind a smoothed
            ``value``; ``spread``, of which a band of plus and minus that is
            drawn.
        label (str): What the y axis shows, with its unit.
        title (str): Above the figure. Defaults to ''.

    Returns:
        Figure: Epochs on the left, time on the right.

    Examples:
        >>> curve = dict(name='run', epoch=[1], hours=[0.1], value=[3])
        >>> left, right = draw_curves([curve], 'loss').axes
        >>> right.get_xlabel()
        'training time [min]'
    """
    figure = new_figure(8.4, 3.6)
    left, right = figure.subplots(1, 2, sharey=True)
    factor, unit = time_unit(longest(curves))
    for number, curve in enumerate(curves):
        draw_curve(left, curve, np.asarray(curve['epoch']), number)
        draw_curve(right, curve, np.asarray(curve['hours']) * factor, number)
    left.set(xlabel='epoch', ylabel=label)
    right.set(xlabel=f'training time [{unit}]')
    right.tick_params(labelleft=False)
    _clip_raw(left, curves)
    if title:
        figure.suptitle(title, fontsize=10)
    if len(curves) > 1:
        shared_legend(figure, left)
    return figure


def longest(curves: Sequence[Curve]) -> float:
    """Hours of the longest run."""
    return max((max(c['hours']) for c in curves if len(c['hours'])), default=0)


def draw_curve(axes: Axes, curve: Curve, x: np.ndarray, number: int) -> None:
    """One run; few points get markers, so that a single one is seen."""
    style = dict(color=color_of(number), alpha=0.2)
    value = np.asarray(curve['value'], dtype=float)
    raw, spread = curve.get('raw'), curve.get('spread')
    if raw is not None:  # rasterized, or a PDF holds every iteration
        axes.plot(thin(x), thin(raw), linewidth=0.6, rasterized=True, **style)
    if spread is not None:
        low, high = value - spread, value + spread
        axes.fill_between(x, low, high, linewidth=0, **style)
    marker = marker_of(number) if len(value) <= 40 and raw is None else None
    style = run_style(number, marker=marker, markersize=3.5)
    axes.plot(thin(x), thin(value), label=curve['name'], **style)


def _clip_raw(axes: Axes, curves: Sequence[Curve]) -> None:
    """Let the curves fill the axes; a few outliers of the noise may leave."""
    noise = [c['raw'] for c in curves if c.get('raw') is not None]
    if not noise:
        return
    noise = np.concatenate(noise).astype(float)
    values = np.concatenate([c['value'] for c in curves]).astype(float)
    noise, values = noise[np.isfinite(noise)], values[np.isfinite(values)]
    if not len(noise) or not len(values):
        return
    low = min(np.percentile(noise, 0.5), values.min())
    high = max(np.percentile(noise, 99.5), values.max())
    edge = 0.05 * (high - low) or 0.5
    axes.set_ylim(low - edge, high + edge)


@styled
def draw_overview(
    curves: Sequence[Curve],
    sweeps: Optional[Mapping[str, Sequence[Mapping]]] = None,
) -> Figure:
    """Accuracy against time and, next to it, against the drop ratio.

    Args:
        curves (Sequence[Mapping]): See :func:`draw_curves`.
        sweeps (Mapping, optional): See :func:`draw_sweep`; the names and the
            order of ``curves``. Without any the right panel is left out.
            Defaults to None.

    Returns:
        Figure: The legend says what each run reached, and when.

    Examples:
        >>> curve = dict(name='run', epoch=[1], hours=[1], value=[50])
        >>> len(draw_overview([curve]).axes)
        1
    """
    figure = new_figure(8.4 if sweeps else 5.0, 3.8)
    panels = figure.subplots(1, 2 if sweeps else 1, squeeze=False)[0]
    left = panels[0]
    factor, unit = time_unit(longest(curves))
    for number, curve in enumerate(curves):
        hours = np.asarray(curve['hours']) * factor
        # In the legend, where no curve can lie under it.
        reached = f'{curve["value"][-1]:.2f} % in {hours[-1]:.1f} {unit}'
        label = f'{curve["name"]}: {reached}'
        draw_curve(left, dict(curve, name=label), hours, number)
        style = run_style(number, marker='o', markersize=8)
        style['markerfacecolor'] = 'none'
        left.plot(hours[-1:], curve['value'][-1:], **style)
    left.set(
        xlabel=f'training time [{unit}]', ylabel='top-1 [%]',
        title='accuracy over training time',
    )  # fmt: skip
    if sweeps:
        draw_accuracy(panels[1], sweeps)
        panels[1].set_title('accuracy with fewer tokens')
        if len(sweeps) == 1:
            for records in sweeps.values():
                label_throughput(panels[1], records, 'acc1', side='right')
            panels[1].set_title('accuracy with fewer tokens (images / s)')
    shared_legend(figure, left)
    return figure
