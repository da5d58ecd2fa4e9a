# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Schedules over training."""

from typing import Any, List, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from .figure import (
    DROP_RATIO_LABEL,
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
        quantity (str): What the values are. A ``'drop_ratio'`` is drawn from
            0 to 1. Defaults to ``'drop_ratio'``.

    Returns:
        Figure: The whole run, and next to it one cycle, if any is cyclic.

    Examples:
        >>> curve = dict(name='t', epoch=[0, 1], value=[1, 10], cycle=None)
        >>> draw_schedules([curve], 'temperature').axes[0].get_ylabel()
        'temperature'
    """
    ratio = quantity == 'drop_ratio'
    cycles = [s['cycle'] for s in schedules if s['cycle'] is not None]
    figure = new_figure(8.8 if cycles else 5.6, 3.6)
    panels = figure.subplots(
        1, 2 if cycles else 1, squeeze=False, sharey=True
    )[0]
    for number, schedule in enumerate(schedules):
        epoch = np.asarray(schedule['epoch'], dtype=float)
        value = np.asarray(schedule['value'], dtype=float)
        cycle, style = schedule['cycle'], dict(color=color_of(number))
        name = schedule['name']
        if cycle is None or (epoch[-1] - epoch[0]) / cycle <= DRAWN_CYCLES:
            panels[0].step(epoch, value, where='post', label=name, **style)
        else:
            band = dict(step='post', alpha=0.25, linewidth=0, **style)
            cycles_of = _ranges(epoch, value, cycle)
            label = f'{name} (cycles: range)'
            panels[0].fill_between(*cycles_of, label=label, **band)
        if cycles:
            inside = epoch <= max(cycles)
            style['linewidth'] = 2.2 if cycle is not None else 1.2
            panels[1].step(epoch[inside], value[inside], where='post', **style)
            panels[1].set(xlabel='epoch', title='first cycle')
    label = DROP_RATIO_LABEL if ratio else quantity
    panels[0].set(xlabel='epoch', title='whole run', ylabel=label)
    if ratio:
        panels[0].set_ylim(-0.03, 1.0)
    shared_legend(figure, panels[0])
    return figure


def _ranges(epoch: np.ndarray, value: np.ndarray, cycle: float) -> List:
    """Where each cycle begins, its lowest and its highest value."""
    start = np.unique((epoch / cycle).astype(int), return_index=True)[1]
    low = np.minimum.reduceat(value, start)
    high = np.maximum.reduceat(value, start)
    ends = ((epoch[start], epoch[-1]), (low, low[-1]), (high, high[-1]))
    return [np.append(*pair) for pair in ends]
