# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Embeddings in two dimensions."""

from typing import Any, Mapping

import numpy as np
from matplotlib.figure import Figure

from .figure import color_of, marker_of, new_figure, styled

LISTED = 16  # classes with an entry in the legend


@styled
def draw_embedding_map(record: Mapping[str, Any]) -> Figure:
    """A point per image, colored by class.

    Args:
        record (Mapping): ``points`` (N, 2), ``labels`` (N,), ``classes``
            (names), ``axes`` (what they are called) and ``title``.

    Returns:
        Figure: Classes differ in color and marker. With more than 16 there
        is no legend, and colors repeat with other markers.

    Examples:
        >>> record = dict(
        ...     points=np.zeros((2, 2)), labels=np.array([0, 1]),
        ...     classes=['a', 'b'], axes=('x', 'y'), title='two images')
        >>> draw_embedding_map(record).axes[0].get_xlabel()
        'x'
    """
    points = np.asarray(record['points'])
    labels = np.asarray(record['labels'])
    figure = new_figure(6.2, 5)
    axes = figure.subplots()
    present = np.unique(labels)
    for number, label in enumerate(present):
        look = dict(
            color=color_of(number), marker=marker_of(number + number // 8)
        )
        name = str(record['classes'][label])
        places = points[labels == label].T
        dots = dict(s=12, alpha=0.7, linewidths=0, label=name)
        axes.scatter(*places, **dots, **look)
    axes.set(**dict(zip(('xlabel', 'ylabel'), record['axes'])))
    axes.set(title=record['title'])
    if len(present) <= LISTED:
        figure.legend(loc='outside right upper', markerscale=2)
    return figure
