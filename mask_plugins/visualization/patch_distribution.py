# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Where in the image the kept patches lie."""

from typing import Any, Mapping

import numpy as np
from matplotlib.figure import Figure

from .figure import as_picture, new_figure, styled


@styled
def draw_patch_distribution(data: Mapping[str, Any]) -> Figure:
    """Draw a heat map per drop ratio: how often each place was kept.

    Args:
        data (Mapping): The content of ``patch_distribution.json``:
            ``drop_ratios``, ``counts`` (per ratio one number per patch),
            ``grid`` (h, w) and ``num_images``.

    Returns:
        Figure: One map per ratio above 0 (at 0 all are kept), in % of the
        images, on one color scale.

    Examples:
        >>> data = dict(drop_ratios=[0.5], counts=[[4, 0, 1, 2]], grid=[2, 2],
        ...             num_images=4)
        >>> axes = draw_patch_distribution(data).axes[0]
        >>> axes.images[0].get_array().tolist()
        [[100.0, 0.0], [25.0, 50.0]]
    """
    pairs = list(zip(data['drop_ratios'], data['counts']))
    pairs = [pair for pair in pairs if pair[0] > 0] or pairs
    figure = new_figure(2.1 * len(pairs) + 1.0, 2.5)
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for axes, (drop, counts) in zip(panels, pairs):
        share = np.asarray(counts, dtype=float).reshape(data['grid'])
        share = 100 * share / data['num_images']
        image = axes.imshow(share, vmin=0, vmax=100, cmap='viridis')
        axes.set_title(
            f'$d$ = {drop:.2g}  (mean {share.mean():.1f} %)',
            fontsize=9,
        )
        as_picture(axes)
    bar = figure.colorbar(image, ax=list(panels), aspect=15)
    bar.set_label('kept in % of images')
    figure.suptitle(
        f'patches kept at drop ratio $d$, {data["num_images"]} images',
        fontsize=10,
    )
    return figure
