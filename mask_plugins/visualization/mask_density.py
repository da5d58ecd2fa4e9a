# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How much of each layer its mask keeps."""

from typing import Any, List, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figure import color_of, new_figure, shared_legend, styled

# Below, a row of text is lower than its letters.
ROW_HEIGHT = 0.19
# Soft densities that differ less from the hard one lie on top of it.
VISIBLE = 0.005


@styled
def draw_mask_density(report: Mapping[str, Any], title: str = '') -> Figure:
    """Draw the density of each mask: the share of the weights that it keeps.

    Args:
        report (Mapping): ``MaskReport.to_dict()``: ``density``, ``size``,
            ``kept`` and ``masks``, which has ``name``, ``size``, ``kept``,
            ``density`` and ``soft_density`` per mask.
        title (str): What the masks are of. Defaults to ''.

    Returns:
        Figure: A row per mask, the first layer on top, with the number of
        weights kept and of all at its end; empty masks are marked.

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskLinear, mask_report
        >>> report = mask_report(SoftMaskLinear(2, 3)).to_dict()
        >>> draw_mask_density(report, 'epoch 1')
        <Figure size ...>
    """
    masks = report['masks']
    figure = new_figure(7.2, 1.3 + ROW_HEIGHT * max(3, len(masks)))
    axes = figure.subplots()
    rows = range(len(masks))
    density = [mask['density'] for mask in masks]
    soft = [mask['soft_density'] for mask in masks]
    axes.hlines(rows, 0, density, color=color_of(0), alpha=0.35, linewidth=3)
    axes.plot(
        density, rows, 'o', color=color_of(0), markersize=5, clip_on=False,
        zorder=3, label='kept (hard mask)',
    )  # fmt: skip
    if any(abs(a - b) > VISIBLE for a, b in zip(density, soft)):
        axes.plot(
            soft, rows, 'o', color=color_of(4), markerfacecolor='none',
            markersize=5, clip_on=False, label='mean of the soft mask',
        )  # fmt: skip
    empty = [row for row in rows if not masks[row]['kept']]
    if empty:
        axes.plot(
            [0] * len(empty), empty, 'X', color=color_of(1), markersize=8,
            clip_on=False, zorder=4, label='empty: nothing is kept',
        )  # fmt: skip
    axes.axvline(
        report['density'], color='black', linestyle='--', linewidth=1,
        label=f'all masks: {report["density"]:.4f}',
    )  # fmt: skip
    layer_rows(axes, [mask['name'] for mask in masks])
    axes.set_xlim(0, upper_limit([*density, *soft]))
    axes.set_xlabel('density: share of the weights that is kept')
    counts = axes.secondary_yaxis('right')
    counts.set_yticks(
        rows, [f'{mask["kept"]:,} of {mask["size"]:,}' for mask in masks]
    )
    counts.tick_params(length=0, labelsize=8)
    counts.spines[:].set_visible(False)
    shared_legend(figure, axes, columns=2)
    figure.suptitle(
        f'{title + ": " if title else ""}{report["kept"]:,} of '
        f'{report["size"]:,} masked weights are kept',
        fontsize=10,
    )
    return figure


def layer_rows(axes: Axes, names: Sequence[str]) -> None:
    """A row per layer, the first on top, under its short name."""
    axes.set_yticks(range(len(names)), short_names(names))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis='y')
    axes.tick_params(axis='y', length=0, pad=8)


def upper_limit(densities: Sequence[float]) -> float:
    """Where a density axis ends: at 1, or lower where all are low."""
    highest = max(densities, default=1.0)
    return 1.0 if highest > 0.5 or not highest else 1.15 * highest


def short_names(names: Sequence[str]) -> List[str]:
    """The names without what all have in common at their ends.

    Args:
        names (Sequence[str]): Dotted names.

    Returns:
        list[str]: Without common leading and trailing parts; at least one
        part is left.
    """
    parts = [name.split('.') for name in names]
    for end in (0, -1):
        while (
            len(parts) > 1
            and min(map(len, parts)) > 1
            and len({part[end] for part in parts}) == 1
        ):
            for part in parts:
                part.pop(end)
    return ['.'.join(part) for part in parts]
