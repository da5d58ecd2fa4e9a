# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The figure of the patch-sampling benchmark."""

from matplotlib.figure import Figure

from mask_plugins.visualization.figure import (
    COLORS,
    DROP_RATIO_LABEL,
    new_figure,
    styled,
)

from .statistics import quartile_errors

MODELS = dict(
    pss=('PSS, magnitude', 'o-', COLORS[0]),
    random=('plain ViT, random tokens', 's--', COLORS[1]),
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
    steps = result['steps']
    archs = list(dict.fromkeys(row['arch'] for row in steps))
    modes = list(dict.fromkeys(row['mode'] for row in steps))
    figure = new_figure(4.5 * len(modes), 3.4 * len(archs))
    axes = figure.subplots(len(archs), len(modes), squeeze=False)
    for arch, line in zip(archs, axes):
        for mode, ax in zip(modes, line):
            rows = [
                row
                for row in steps
                if (row['arch'], row['mode']) == (arch, mode)
            ]
            for model, (label, style, color) in MODELS.items():
                own = [row for row in rows if row['model'] == model]
                spreads = [row['to_drop_0'] for row in own]
                ax.errorbar(
                    [row['drop_ratio'] for row in own],
                    [s['median'] for s in spreads],
                    quartile_errors(spreads),
                    fmt=style,
                    color=color,
                    label=label,
                    capsize=3,
                )
            ideal = [row for row in rows if row['model'] == 'pss']
            ax.plot(
                [row['drop_ratio'] for row in ideal],
                [row['mac_ideal'] for row in ideal],
                ':',
                color='black',
                label='MAC-ideal',
            )
            ax.set(
                title=f'ViT {arch}, {MODES[mode]}',
                xlabel=DROP_RATIO_LABEL,
                ylabel='time relative to drop 0',
                ylim=(0, None),
            )
    axes[0][0].legend()
    machine, settings = result['machine'], result['settings']
    figure.suptitle(
        f'{machine["gpu"] or machine["cpu"]}, {settings["image_size"]} px, '
        f'batch {settings["batch_size"]}, {settings["dtype"]}, torch '
        f'{machine["torch"]}',
        fontsize='small',
    )
    return figure
