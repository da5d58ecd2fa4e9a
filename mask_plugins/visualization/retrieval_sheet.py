# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Queries, and what they found."""

import textwrap
from typing import Any, Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figure import as_picture, new_figure, styled

HIT, MISS, UNKNOWN = '#009E73', '#D55E00', '#999999'


@styled
def draw_retrieval_sheet(
    records: Sequence[Mapping[str, Any]],
    picture: Callable[[Mapping[str, Any]], np.ndarray],
) -> Figure:
    """A row per query: itself, then the nearest images.

    Args:
        records (Sequence[Mapping]): Of
            :func:`mask_plugins.analysis.features.image_search.search`.
        picture (Callable): Gives the picture of a query or a result, uint8
            :math:`(h, w, 3)`, RGB.

    Returns:
        Figure: Frames are green for the query's class, orange and dashed for
        another, gray where a class is not known.

    Examples:
        >>> hit = dict(similarity=0.9, hit=True)
        >>> record = {'class': 'a', 'results': [{'class': 'a', **hit}]}
        >>> gray = np.zeros((4, 4, 3), 'uint8')
        >>> len(draw_retrieval_sheet([record], lambda item: gray).axes)
        2
    """
    columns = 1 + max(len(record['results']) for record in records)
    size, rows = 1.25, len(records)
    figure = new_figure(size * columns + 0.3, (size + 0.3) * rows + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False)
    for row, record in zip(panels, records):
        _draw(row[0], picture(record), 'black', record['class'] or 'query')
        for axes, result in zip(row[1:], record['results']):
            color = {True: HIT, False: MISS, None: UNKNOWN}[result['hit']]
            text = f'{result["similarity"]:.2f} {result["class"] or ""}'
            _draw(axes, picture(result), color, text)
            if result['hit'] is False:
                axes.spines[:].set(linestyle='--', capstyle='butt')
        for axes in row[1 + len(record['results']) :]:
            axes.set_axis_off()
    figure.supxlabel(
        'first column: query; then the nearest, with their cosine similarity. '
        'Green: same class, orange and dashed: another, gray: not known',
        fontsize=8,
    )
    return figure


def _draw(axes: Axes, image: np.ndarray, color: str, text: str) -> None:
    small = image.shape[1] < 128
    axes.imshow(image, interpolation='nearest' if small else None)
    text = textwrap.shorten(text, 20, placeholder='…')
    axes.set_title(text, fontsize=7.5, color=color, pad=3)
    as_picture(axes, spines=True)
    axes.spines[:].set(color=color, linewidth=2.5)
