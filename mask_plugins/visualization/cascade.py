# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Clusters of a training set, and accuracies of combined experts."""

from typing import Any, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from .figure import as_picture, color_of, new_figure, shared_legend, styled


@styled
def draw_clusters(
    points: np.ndarray,
    clusters: np.ndarray,
    samples: Sequence[Sequence[np.ndarray]] = (),
) -> Figure:
    """Draw images on the first two components, colored by cluster.

    Args:
        points (np.ndarray): :math:`(N, 2)`, or of one component.
        clusters (np.ndarray): Cluster of each, :math:`(N,)`.
        samples (Sequence[Sequence[np.ndarray]]): Of each cluster images
            :math:`(H, W, 3)`, drawn in a row. Defaults to ().

    Examples:
        >>> figure = draw_clusters(np.eye(2), np.array([0, 1]))
        >>> len(figure.axes[0].collections)
        2
    """
    rows = len(samples)
    figure = new_figure(4.6 + 4.6 * (rows > 0), 4.2)
    parts = figure.subfigures(1, 2) if rows else [figure]
    axes = parts[0].subplots()
    if points.shape[1] == 1:
        points = np.pad(points, ((0, 0), (0, 1)))
    for index in np.unique(clusters):
        mine = points[clusters == index]
        axes.scatter(
            *mine[:, :2].T,
            s=6,
            color=color_of(int(index)),
            label=f'cluster {index}: {len(mine)} images',
        )
    axes.set_xlabel('component 1 (variance 1)')
    axes.set_ylabel('component 2 (variance 1)')
    shared_legend(figure, axes)
    if rows:
        columns = max(map(len, samples))
        grid = parts[1].subplots(rows, columns, squeeze=False)
        for index, (line, images) in enumerate(zip(grid, samples)):
            for cell in line:
                as_picture(cell)
            for cell, image in zip(line, images):
                cell.imshow(image)
            line[0].set_ylabel(f'{index}', color=color_of(index))
    return figure


@styled
def draw_cascade(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the accuracy of each combination.

    Args:
        rows (Sequence[Mapping]): ``method``, ``knn_top1``, ``probe_top1``.

    Examples:
        >>> row = dict(method='baseline', knn_top1=50.0, probe_top1=60.0)
        >>> len(draw_cascade([row]).axes)
        1
    """
    figure = new_figure(6.4, 0.4 * len(rows) + 1.4)
    axes = figure.subplots()
    places = np.arange(len(rows))
    for number, (key, label) in enumerate(
        (('knn_top1', 'k-NN'), ('probe_top1', 'linear probe'))
    ):
        axes.barh(
            places + 0.4 * number - 0.2,
            [row[key] for row in rows],
            height=0.38,
            color=color_of(number),
            label=label,
        )
    axes.set_yticks(places, [row['method'] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel('top-1 [%]')
    shared_legend(figure, axes)
    return figure
