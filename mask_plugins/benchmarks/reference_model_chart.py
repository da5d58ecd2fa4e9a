# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The figure of the reference-model benchmark."""

from matplotlib.figure import Figure

from mask_plugins.visualization.figure import COLORS, new_figure, styled

from .statistics import machine_title, medians


@styled
def plot_reference_model_benchmark(result: dict) -> Figure:
    """Training steps of the methods, and the update of an average.

    Args:
        result (dict): What :meth:`ReferenceModelBenchmark.run` returned.

    Returns:
        matplotlib.figure.Figure: Bars; error bars are quartiles.
    """
    figure = new_figure(9, 3.4)
    time, ema = figure.subplots(1, 2, width_ratios=(3, 2))
    rows = result['steps'][::-1]
    median, errors = medians(rows, 'to_ce')
    style = dict(color=COLORS[0], capsize=2)
    time.barh(range(len(rows)), median, xerr=errors, **style)
    time.set_yticks(range(len(rows)), [row['method'] for row in rows])
    time.axvline(1, color='black', linewidth=0.8)
    time.set(title='training step', xlabel='time relative to CE')
    time.grid(axis='y', visible=False)
    for shift, (key, label) in enumerate(
        (('loop_ms', "mmengine's loop"), ('ours_ms', 'all tensors at once'))
    ):
        median, errors = medians(result['ema'], key)
        at = [i + 0.4 * shift - 0.2 for i in range(len(median))]
        style = dict(color=COLORS[4 - 3 * shift], label=label, capsize=2)
        ema.bar(at, median, 0.36, yerr=errors, **style)
    names = [row['network'] for row in result['ema']]
    ema.set_xticks(range(len(names)), names)
    ema.set(title='update of an average', ylabel='ms')
    ema.grid(axis='x', visible=False)
    ema.legend(fontsize='small')
    settings, machine = result['settings'], result['machine']
    what = (
        f'threads: {machine["threads"]}, ResNet-18 of {settings["channels"]} '
        f'channels, batch {settings["batch_size"]}'
    )
    figure.suptitle(machine_title(machine, what), fontsize='small')
    return figure
