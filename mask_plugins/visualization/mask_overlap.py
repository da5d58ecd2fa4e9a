# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How much the masks of several tasks have in common."""

from typing import Any, List, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figure import draw_matrix, new_figure, run_style, styled
from .mask_density import ROW_HEIGHT, layer_rows

# More lines per layer than there are colors cannot be told apart.
MOST_PAIRS = 6
INDICES = ('kept', 'removed')


@styled
def draw_mask_overlap(overlap: Mapping[str, Any]) -> Figure:
    """Draw the overlap of masks, in total and by layer.

    Args:
        overlap (Mapping): What ``compare_adapters`` returned.

    Returns:
        Figure: Above, for what is kept and for what is removed, the Jaccard
        index of each pair, in brackets that of independent masks of the same
        densities. Below that index of what is kept by layer (of up to six
        pairs), hollow that of independent masks.

    Examples:
        >>> kinds = ('', 'expected_')
        >>> keys = [f'{x}jaccard_{y}' for x in kinds for y in INDICES]
        >>> found = dict.fromkeys(keys, 0.5)
        >>> layers = [dict(found, name='conv')]
        >>> pair = dict(a='cats', b='dogs', total=found, layers=layers)
        >>> overlap = dict(names=['cats', 'dogs'], pairs=[pair])
        >>> len(draw_mask_overlap(overlap).axes)
        3
    """
    names = overlap['names']
    layers = len(overlap['pairs'][0]['layers'])
    top = 1.4 + 0.62 * len(names)
    shown = min(MOST_PAIRS, len(overlap['pairs']))
    bottom = 1.2 + max(ROW_HEIGHT, 0.08 * shown) * max(3, layers)
    figure = new_figure(max(7.2, 2.6 + 1.5 * len(names)), top + bottom)
    above, below = figure.subfigures(2, 1, height_ratios=[top, bottom])
    panels = above.subplots(1, 2)
    for axes, key in zip(panels, INDICES):
        _matrix(axes, overlap, key)
    above.suptitle(
        'Jaccard index of two masks (in brackets: of independent ones)',
        fontsize=10,
    )
    _by_layer(below.subplots(), overlap)
    handles, labels = below.axes[0].get_legend_handles_labels()
    below.legend(handles, labels, loc='outside lower center', ncols=2)
    return figure


def _matrix(axes: Axes, overlap: Mapping[str, Any], key: str) -> None:
    names: List[str] = overlap['names']
    found = np.full((2, len(names), len(names)), np.nan)
    for pair in overlap['pairs']:
        i, j = names.index(pair['a']), names.index(pair['b'])
        for cells, kind in zip(found, ('', 'expected_')):
            value = pair['total'][f'{kind}jaccard_{key}']
            if value is not None:
                cells[i, j] = cells[j, i] = value
    values, expected = found
    draw_matrix(
        axes, values, lambda *at: f'{values[at]:.3f}\n({expected[at]:.3f})', 1
    )
    axes.set_xticks(range(len(names)), names, rotation=30, ha='right')
    axes.set_yticks(range(len(names)), names)
    axes.set_title(f'what is {key}')


def _by_layer(axes: Axes, overlap: Mapping[str, Any]) -> None:
    pairs = overlap['pairs'][:MOST_PAIRS]
    rows = [row['name'] for row in pairs[0]['layers']]
    for number, pair in enumerate(pairs):
        # Side by side, so that equal ones do not hide each other.
        shift = (number - (len(pairs) - 1) / 2) * 0.7 / len(pairs)
        places = np.arange(len(rows)) + shift
        style = run_style(number, linestyle='', clip_on=False)
        looks = (
            ('', dict(label=f'{pair["a"]}, {pair["b"]}')),
            ('expected_', dict(alpha=0.6, fillstyle='none')),
        )
        for kind, look in looks:
            found = [row[f'{kind}jaccard_kept'] for row in pair['layers']]
            axes.plot(np.array(found, dtype=float), places, **style, **look)
    layer_rows(axes, rows)
    axes.set_xlim(0, 1)
    left = len(overlap['pairs']) - len(pairs)
    more = f' ({left} more pairs in the JSON)' if left else ''
    axes.set_xlabel(
        f'Jaccard index of what is kept; hollow: independent masks{more}'
    )
