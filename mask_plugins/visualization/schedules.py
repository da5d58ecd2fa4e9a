# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Schedules of the keep ratio over training."""

from typing import Any, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figure import (
    DROP_RATIO_LABEL,
    KEEP_RATIO_LABEL,
    color_of,
    new_figure,
    shared_legend,
    styled,
)

# More cycles than these are a blot: a band stands for them.
DRAWN_CYCLES = 12


@styled
def draw_schedules(
    schedules: Sequence[Mapping[str, Any]], quantity: str = 'drop_ratio'
) -> Figure:
    """Draw schedules over the whole run, and one cycle of the cyclic ones.

    Args:
        schedules (Sequence[Mapping]): Per schedule ``name``, the arrays
            ``epoch`` and ``value``, and ``cycle``, the length of a cycle in
            epochs or None.
        quantity (str): What the values are. Of ``'drop_ratio'`` the keep
            ratio is drawn, with the drop ratio on the right; others are drawn
            as they are. Defaults to ``'drop_ratio'``.

    Returns:
        Figure: The whole run, and next to it one cycle, if any is cyclic.

    Examples:
        >>> curve = dict(name='t', epoch=[0, 1], value=[1, 10], cycle=None)
        >>> draw_schedules([curve], 'temperature').axes[0].get_ylabel()
        'temperature'
    """
    ratio = quantity == 'drop_ratio'
    cyclic = [s for s in schedules if s['cycle'] is not None]
    figure = new_figure(8.8 if cyclic else 5.6, 3.6)
    panels = figure.subplots(
        1, 2 if cyclic else 1, squeeze=False, sharey=True
    )[0]
    for number, schedule in enumerate(schedules):
        _draw_run(panels[0], schedule, number, ratio)
        if cyclic:
            _draw_cycle(panels[1], schedule, number, ratio, cyclic)
    panels[0].set_xlabel('epoch')
    panels[0].set_title('whole run')
    panels[0].set_ylabel(KEEP_RATIO_LABEL if ratio else quantity)
    if cyclic:
        panels[1].set_xlabel('epoch')
        panels[1].set_title('first cycle')
    if ratio:
        panels[0].set_ylim(-0.03, 1.05)
        second = panels[-1].secondary_yaxis(
            'right', functions=(_one_minus, _one_minus)
        )
        second.set_ylabel(DROP_RATIO_LABEL)
    shared_legend(figure, panels[0])
    return figure


def _one_minus(value: np.ndarray) -> np.ndarray:
    return 1 - np.asarray(value)


def _shown(schedule: Mapping[str, Any], ratio: bool) -> np.ndarray:
    value = np.asarray(schedule['value'], dtype=float)
    return 1 - value if ratio else value


def _draw_run(
    axes: Axes, schedule: Mapping[str, Any], number: int, ratio: bool
) -> None:
    epoch = np.asarray(schedule['epoch'], dtype=float)
    value = _shown(schedule, ratio)
    cycle, color = schedule['cycle'], color_of(number)
    if cycle is None or (epoch[-1] - epoch[0]) / cycle <= DRAWN_CYCLES:
        axes.step(
            epoch, value, where='post', color=color, label=schedule['name']
        )
        return
    # The lowest and the highest value of each cycle.
    start = np.unique((epoch / cycle).astype(int), return_index=True)[1]
    low = np.minimum.reduceat(value, start)
    high = np.maximum.reduceat(value, start)
    edges = epoch[start]
    axes.fill_between(
        np.append(edges, epoch[-1]),
        np.append(low, low[-1]),
        np.append(high, high[-1]),
        step='post',
        color=color,
        alpha=0.25,
        linewidth=0,
        label=f'{schedule["name"]} (cycles: range)',
    )


def _draw_cycle(
    axes: Axes,
    schedule: Mapping[str, Any],
    number: int,
    ratio: bool,
    cyclic: Sequence[Mapping[str, Any]],
) -> None:
    length = max(s['cycle'] for s in cyclic)
    epoch = np.asarray(schedule['epoch'], dtype=float)
    inside = epoch <= length
    axes.step(
        epoch[inside],
        _shown(schedule, ratio)[inside],
        where='post',
        color=color_of(number),
        linewidth=2.2 if schedule['cycle'] is not None else 1.2,
    )
