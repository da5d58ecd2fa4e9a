# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The figure of the weight-mask benchmark."""

import numpy as np
from matplotlib.figure import Figure

from mask_plugins.visualization.figure import (
    COLORS,
    new_figure,
    shared_legend,
    styled,
)

from .statistics import machine_title, medians

# What is plain or without compiled kernels is hatched.
KINDS = dict(
    soft=('soft', COLORS[5], ''),
    soft_penalty=('soft, penalty', COLORS[0], ''),
    plain_soft_penalty=('soft, penalty, plain autograd', COLORS[0], '///'),
    score=('score', COLORS[4], ''),
    score_held=('score, held', COLORS[1], ''),
    plain_score=('score, plain autograd', COLORS[1], '///'),
    torch_soft=('soft, torch only', COLORS[5], '...'),
    torch_score=('score, torch only', COLORS[4], '...'),
)
# Each once: without a step, a penalty or holding makes no difference.
ALONE = (
    'soft_penalty', 'plain_soft_penalty', 'score_held', 'plain_score',
    'torch_soft', 'torch_score',
)  # fmt: skip


@styled
def plot_weight_mask_benchmark(result: dict) -> Figure:
    """Training steps, time of the masks alone, memory, inference.

    Args:
        result (dict): What :meth:`WeightMaskBenchmark.run` returned.

    Returns:
        matplotlib.figure.Figure: A group of bars per network; error bars are
        quartiles, black lines what cannot be undercut.
    """
    archs = result['settings']['archs']
    figure = new_figure(11, 3.6)
    time, alone, memory = figure.subplots(1, 3)
    width = 0.8 / len(KINDS)
    for index, (kind, (label, color, hatch)) in enumerate(KINDS.items()):
        fill = 'white' if hatch else color
        style = dict(color=fill, edgecolor=color, hatch=hatch)
        rows = [row for row in result['steps'] if row['kind'] == kind]
        at = [
            archs.index(r['arch']) + width * (index - len(KINDS) / 2 + 0.5)
            for r in rows
        ]
        median, errors = medians(rows, 'to_dense')
        marks = dict(yerr=errors, label=label, capsize=2)
        time.bar(at, median - 1, width, bottom=1, **marks, **style)
        extra = [row['extra_bytes_per_weight'] for row in rows]
        memory.bar(at, extra, width, **style)
        if kind in ALONE:
            bound = np.array([row['own_bound_ms'] for row in rows])
            median, _ = medians(rows, 'alone_ms')
            alone.bar(at, median / bound, width, **style)
        for x, row in zip(at, rows):
            kept, half = row['kept_bytes_per_weight'], width / 2
            memory.hlines(kept, x - half, x + half, color='black')
    time.axhline(1, color='black', linewidth=0.8)
    alone.axhline(1, color='black', linewidth=0.8)
    time.set(title='training step', ylabel='time relative to dense')
    alone.set(
        title='masks alone',
        ylabel='time relative to moving\n24 (score), 56 (soft) bytes a weight',
    )
    memory.set(title='extra peak memory', ylabel='bytes per masked weight')
    for ax in (time, alone, memory):
        ax.set_xticks(range(len(archs)), archs)
        ax.grid(axis='x', visible=False)
    shared_legend(figure, time, columns=4)
    settings = result['settings']
    sizes = ', '.join(
        f'{arch} {settings["batch_sizes"][arch]} x '
        f'{settings["image_sizes"][arch]} px'
        for arch in archs
    )
    what = f'{sizes}, {settings["dtype"]}'
    title = machine_title(result['machine'], what)
    figure.suptitle(title, fontsize='small')
    return figure
