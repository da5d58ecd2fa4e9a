# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Kinds of gates at equal skip ratios: a picture and a table."""

from collections import defaultdict
from statistics import fmean, stdev
from typing import List, Sequence, Tuple

from matplotlib.figure import Figure

from .figure import COLORS, MARKERS, new_figure, styled

COLUMNS = ('skip_ratio', 'agreement', 'top1', 'relative_l2')


def _groups(records: Sequence[dict]):
    """Kind, ratio and the records of all seeds, in the order found."""
    groups = defaultdict(list)
    for record in records:
        groups[record['kind'], record['ratio']].append(record)
    return groups


def _spread(values: Sequence[float]) -> Tuple[float, float]:
    return fmean(values), stdev(values) if len(values) > 1 else 0.0


def gate_table(records: Sequence[dict]) -> Tuple[List[str], List[list], str]:
    """Header, rows and title: mean and standard deviation over seeds.

    Args:
        records (Sequence[dict]): Of ``compare_gates``, each with a ``seed``.
    """
    rows = []
    for (kind, ratio), group in _groups(records).items():
        row = [kind, f'{ratio:g}']
        for column in COLUMNS:
            mean, deviation = _spread([r[column] for r in group])
            row.append(f'{mean:.3g} +- {deviation:.2g}')
        rows.append(row)
    seeds = len({record['seed'] for record in records})
    dense = fmean(record['dense_top1'] for record in records)
    header = ['gate', 'aimed at', 'skip ratio', 'agreement [%]', 'top-1 [%]',
              'relative L2']  # fmt: skip
    return header, rows, f'{seeds} seeds; dense top-1 {dense:.1f} %'


@styled
def draw_gate_comparison(records: Sequence[dict]) -> Figure:
    """Agreement and error over the skip ratio, one line per kind of gate.

    Args:
        records (Sequence[dict]): See :func:`gate_table`.

    Returns:
        Figure: Two panels.
    """
    figure = new_figure(8, 3.2)
    axes = figure.subplots(1, 2)
    labels = dict(agreement='agreement with dense [%]',
                  relative_l2='relative L2 of last feature')  # fmt: skip
    lines = defaultdict(list)
    for (kind, _), group in _groups(records).items():
        lines[kind].append(group)
    for axis, (column, label) in zip(axes, labels.items()):
        for i, (kind, groups) in enumerate(lines.items()):
            x = [fmean(r['skip_ratio'] for r in group) for group in groups]
            y = [_spread([r[column] for r in group]) for group in groups]
            style = dict(color=COLORS[i], marker=MARKERS[i], capsize=2)
            axis.errorbar(x, *zip(*y), label=kind, **style)
        axis.set(xlabel='skip ratio', ylabel=label)
    axes[0].legend()
    return figure
