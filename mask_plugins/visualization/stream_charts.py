# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Charts of gated streams: over time, and error against speed."""

import os.path as osp
from typing import List, Mapping, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figure import color_of, marker_of, new_figure, note, styled
from .stream_frames import overlay_active

Records = Sequence[Mapping[str, float]]
Snapshot = Tuple[int, np.ndarray, Optional[np.ndarray]]


@styled
def draw_stream(
    records: Records, snapshots: Sequence[Snapshot], title: str = ''
) -> Figure:
    """Frames with the active patches, and the curves of the whole stream.

    Args:
        records (Sequence[Mapping]): Per frame: ``frame``, ``dense_ms``,
            ``gated_ms``, ``skip_ratio``, ``error``.
        snapshots (Sequence[tuple]): Number of the frame, the frame (uint8
            RGB), its active patches (bool; None: all).
        title (str): Defaults to none.

    Returns:
        Figure: Frames above, latency, skip ratio and error below.
    """
    columns = max(3, len(snapshots))
    figure = new_figure(3.6 * columns, 6.4)
    above, below = figure.subfigures(2, 1, height_ratios=(1.35, 1))
    frames = np.atleast_1d(above.subplots(1, max(1, len(snapshots))))
    for axes in frames:
        axes.axis('off')
    for axes, (number, frame, active) in zip(frames, snapshots):
        shown = frame if active is None else overlay_active(frame, active)
        axes.imshow(shown)
        share = 1.0 if active is None else float(active.mean())
        axes.set_title(f'frame {number}: {100 * share:.0f} % active')
    time, skip, error = below.subplots(1, 3)
    at = [record['frame'] for record in records]
    dense, gated, ratio, off = (
        np.array([record[key] for record in records])
        for key in ('dense_ms', 'gated_ms', 'skip_ratio', 'error')
    )
    thin = dict(color=color_of(1), linewidth=1)
    time.plot(at, dense, color=color_of(0), linewidth=1, label='dense')
    time.plot(at, gated, label='gated', **thin)
    # A frame that waited for the machine would flatten all others.
    top = 1.4 * float(np.percentile([dense, gated], 98))
    time.set(title='latency', ylabel='ms per frame', ylim=(0, top))
    time.legend(loc='upper right', ncols=2)
    skip.plot(at, ratio, **thin)
    skip.set(title='skip ratio', ylabel='share of the work', ylim=(0, 1))
    error.plot(at, 100 * off, **thin)
    error.set(title='error of the last feature', ylabel='relative L2 [%]')
    error.set_ylim(bottom=0)
    for axes in (time, skip, error):
        axes.set_xlabel('frame')
    if title:
        figure.suptitle(title, fontsize='small')
    return figure


@styled
def draw_skip_sweep(rows: Records, title: str = '') -> Figure:
    """Draw what ``skip_sweep`` measured.

    Args:
        rows (Sequence[Mapping]): Per setting: ``threshold`` (None: set per
            layer, then ``name``), ``error_mean``, ``error_p95``,
            ``speed_up``, ``skip_ratio``.
        title (str): Defaults to none.

    Returns:
        Figure: Speed-up over error on the left, skip ratio and error over
        the threshold on the right.
    """
    figure = new_figure(8.4, 3.6)
    left, right = figure.subplots(1, 2)
    swept = [row for row in rows if row.get('threshold') is not None]
    swept.sort(key=lambda row: row['threshold'])
    draw_frontier(left, 'one threshold', swept)
    for row in swept:
        at = 100 * row['error_mean'], row['speed_up']
        note(left, f'{row["threshold"]:g}', at, (3, -10), ha='left')
    calibrated = [row for row in rows if row.get('threshold') is None]
    if calibrated:
        draw_frontier(left, 'thresholds per layer', calibrated, 1)
        left.legend()
    at = [row['threshold'] for row in swept]
    for key, label, color, style in (
        ('skip_ratio', 'skip ratio', 2, dict(marker=marker_of(2))),
        ('error_mean', 'error, mean', 0, dict(marker=marker_of(0))),
        ('error_p95', 'error, p95', 0, dict(linestyle=':')),
    ):
        values = [row[key] for row in swept]
        right.plot(at, values, color=color_of(color), label=label, **style)
    if any(at):
        right.set_xscale('symlog', linthresh=min(v for v in at if v > 0))
    right.set(xlabel='threshold', title='skip ratio and relative L2 error')
    right.set_ylim(bottom=0)
    right.legend()
    if title:
        figure.suptitle(title, fontsize='small')
    return figure


def draw_frontier(
    axes: Axes, name: str, rows: Records, number: int = 0
) -> None:
    """Speed-up over the mean error; a bar leads to the p95 of the error.

    Args:
        axes (Axes): Where to draw.
        name (str): Of the curve.
        rows (Sequence[Mapping]): As in :func:`draw_skip_sweep`.
        number (int): Of the color. Defaults to 0.
    """
    rows = sorted(rows, key=lambda row: row['error_mean'])
    mean = np.array([100 * row['error_mean'] for row in rows])
    p95 = np.array([100 * row['error_p95'] for row in rows])
    bars = [np.zeros(len(rows)), np.maximum(0, p95 - mean)]
    style = dict(color=color_of(number), marker=marker_of(number))
    style.update(markersize=4.5, elinewidth=0.7, capsize=2, label=name)
    axes.errorbar(mean, [row['speed_up'] for row in rows], xerr=bars, **style)
    axes.axhline(1, color='black', linewidth=0.8)
    axes.set(
        xlabel='relative L2 error of the last feature [%]\n(bar: to the p95)',
        ylabel='speed-up over the best dense',
        title='error against speed',
    )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)


def pick_snapshots(count: int) -> List[int]:
    """Numbers of three frames spread over ``count``, none the first.

    The first frame of a stream is computed in full.

    Args:
        count (int): Frames of the stream.
    """
    if count <= 1:
        return list(range(count))
    at = np.linspace(1, count - 1, min(3, count - 1)).round().astype(int)
    return sorted(set(at.tolist()))


@styled
def plot_pass_stream(result: Mapping) -> Figure:
    """The layer and the frontier of the stream benchmark.

    Args:
        result (Mapping): What ``PassStreamBenchmark.run`` returned.

    Returns:
        Figure: Speed-up of a layer over its skip ratio on the left, that of
        the network over its error on the right.
    """
    rows, frontier = result.get('layer', ()), result.get('frontier', ())
    count = bool(rows) + bool(frontier)
    figure = new_figure(4.2 * max(count, 1), 3.6)
    axes = list(figure.subplots(1, max(count, 1), squeeze=False)[0])
    if rows:
        _draw_layer(axes.pop(0), rows)
    if frontier:
        draw_frontier(axes.pop(0), 'per layer', frontier)
    machine, settings = result['machine'], result['settings']
    title = f'{machine["cpu"]}, threads: {machine["threads"]}'
    if frontier:
        network = f'ResNet-{settings["depth"]}, random weights'
        if settings['config']:
            network = osp.splitext(osp.basename(settings['config']))[0]
        title += f'; {settings["video"]}, {settings["size"]} px, '
        title += f'{settings["dtype"]}\n{network}'
    figure.suptitle(title, fontsize='small')
    return figure


def _draw_layer(ax: Axes, rows: Sequence[Mapping]) -> None:
    """The first layer, by each path."""
    rows = [row for row in rows if row['channels'] == rows[0]['channels']]
    for number, path in enumerate(dict.fromkeys(r['path'] for r in rows)):
        ours = [row for row in rows if row['path'] == path]
        median, low, high = (
            np.array([row['speed_up'][key] for row in ours])
            for key in ('median', 'low', 'high')
        )
        bars = [median - low, high - median]
        style = dict(marker=marker_of(number), color=color_of(number))
        style.update(capsize=2, label=path)
        ax.errorbar([row['skip'] for row in ours], median, bars, **style)
    ax.legend(fontsize='small')
    ax.axhline(1, color='black', linewidth=0.8)
    channels, side = rows[0]['channels'], rows[0]['side']
    title = f'3x3 convolution, {channels} channels, {side}x{side}'
    ax.set(xlabel='skip ratio', ylabel='speed-up over dense', title=title)
    ax.set_ylim(bottom=0)
