# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The figure of the patch-sampling benchmark."""

from matplotlib.figure import Figure

from mask_plugins.visualization.figure import (
    COLORS,
    DROP_RATIO_LABEL,
    new_figure,
    styled,
)

from .statistics import machine_title, medians

MODELS = dict(
    pss=('PSS, magnitude', 'o-', COLORS[0]),
    random=('plain ViT, random tokens', 's--', COLORS[1]),
    original=("the original's form", '^--', COLORS[2]),
    patch_dropout=("timm's PatchDropout", 'v--', COLORS[3]),
    tome=('token merging', 'd--', COLORS[4]),
)
MODES = dict(train='training step', infer='inference')


@styled
def plot_pss_benchmark(result: dict) -> Figure:
    """Time of a step against the drop ratio, with the MAC-ideal.

    Args:
        result (dict): What :meth:`PSSBenchmark.run` returned.

    Returns:
        matplotlib.figure.Figure: A row per size, a column per mode; error
        bars are quartiles.
    """
    steps, settings = result['steps'], result['settings']
    archs, modes = settings['archs'], settings['modes']
    figure = new_figure(4.5 * len(modes), 3.4 * len(archs))
    axes = figure.subplots(len(archs), len(modes), squeeze=False)
    for arch, line in zip(archs, axes):
        for mode, ax in zip(modes, line):
            for model, (label, style, color) in MODELS.items():
                key = arch, model, mode
                rows = [
                    row
                    for row in steps
                    if (row['arch'], row['model'], row['mode']) == key
                ]
                if not rows:
                    continue
                ideal = [row['mac_ideal'] for row in rows]
                ratios = [row['drop_ratio'] for row in rows]
                look = dict(fmt=style, color=color, label=label, capsize=3)
                ax.errorbar(ratios, *medians(rows, 'to_drop_0'), **look)
            ax.plot(ratios, ideal, ':', color='black', label='MAC-ideal')
            ax.set(
                title=f'ViT {arch}, {MODES[mode]}',
                xlabel=DROP_RATIO_LABEL,
                ylabel='time relative to drop 0',
                ylim=(0, None),
            )
    axes[0][0].legend()
    what = (
        f'{settings["image_size"]} px, batch {settings["batch_size"]}, '
        f'{settings["dtype"]}'
    )
    title = machine_title(result['machine'], what)
    figure.suptitle(title, fontsize='small')
    return figure
