# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The trials of a search."""

from typing import Any, Mapping

import numpy as np
from matplotlib.figure import Figure

from .figure import color_of, new_figure, shared_legend, styled


@styled
def draw_search(result: Mapping[str, Any]) -> Figure:
    """Draw the trials in their order, and against what was searched.

    Args:
        result (Mapping): ``metric`` (str), ``direction`` ('maximize' or
            'minimize') and ``trials``, each with ``number``, ``state``,
            ``value`` (None where there is none) and ``params``.

    Returns:
        Figure: The value of each trial with the best so far, then one panel
        per setting of numbers. Trials that were ended early are open circles,
        at their last value.

    Examples:
        >>> trial = dict(number=0, state='complete', value=90.0,
        ...     params={'model.k': 3})
        >>> result = dict(metric='acc1', direction='maximize', trials=[trial])
        >>> [axes.get_xlabel() for axes in draw_search(result).axes]
        ['trial', 'k']
    """
    trials = [t for t in result['trials'] if t['value'] is not None]
    keys = dict.fromkeys(key for trial in trials for key in trial['params'])
    keys = [
        key
        for key in keys
        if all(type(t['params'].get(key)) in (int, float) for t in trials)
    ]
    figure = new_figure(3.2 * (1 + len(keys)), 3.0)
    axes = np.atleast_1d(figure.subplots(1, 1 + len(keys), sharey=True))
    complete = [t for t in trials if t['state'] == 'complete']
    if complete:
        larger = result['direction'] == 'maximize'
        best = np.maximum if larger else np.minimum
        values = best.accumulate([t['value'] for t in complete])
        axes[0].step(
            [t['number'] for t in complete],
            values,
            where='post',
            color=color_of(1),
            label='best so far',
        )
    for place, key in zip(axes, [None, *keys]):
        for state, name in (('complete', 'complete'), (None, 'ended early')):
            some = [
                t
                for t in trials
                if (t['state'] == 'complete') == (state is not None)
            ]
            x = [t['params'][key] if key else t['number'] for t in some]
            place.scatter(
                x,
                [t['value'] for t in some],
                s=18,
                facecolor=color_of(0) if state else 'none',
                edgecolor=color_of(0),
                label=name,
            )
        values = [t['params'][key] for t in trials] if key else []
        if values and min(values) > 0 and max(values) > 30 * min(values):
            place.set_xscale('log')
        place.set_xlabel('trial' if key is None else key.split('.')[-1])
    axes[0].set_ylabel(result['metric'])
    shared_legend(figure, axes[0])
    return figure
