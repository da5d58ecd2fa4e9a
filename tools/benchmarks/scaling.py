# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Time parts that meet much data, at several sizes, next to a baseline."""

import argparse

from rich.console import Console
from rich.table import Table

from mask_plugins.benchmarks.cli import (
    add_common_arguments,
    parse_args,
    run_benchmark,
)
from mask_plugins.benchmarks.statistics import format_spread, format_target
from mask_plugins.utils.entry_point import entry_point


def make_parser():
    """The options."""
    parser = argparse.ArgumentParser(
        description='Time neighbors and measures of n embeddings, the cut of '
        'a log of n lines, and status and results of a sweep of n runs; each '
        'in turn with what it cannot avoid: a product and top-k, '
        "pytorch-metric-learning's AccuracyCalculator, parsing the lines, "
        'reading the files. A slope of 1 is a cost that grows with n.',
        epilog='example: python tools/benchmarks/scaling.py --parts knn cut '
        '--sizes 1000 10000 --threads 1 --out outputs/scaling.json',
    )
    add = parser.add_argument
    add('--parts', nargs='+', metavar='PART', help='knn, retrieval, cut, '
        'status, collect; default: all')  # fmt: skip
    add('--sizes', nargs='+', type=int, help='n; default: 1000 3000 10000')
    add('--most', type=int, help='n of retrieval, whose cost is quadratic, '
        'at most; default: 30000')  # fmt: skip
    add('--lines', type=int, help='of the log of a run; default: 1000')
    add('--dims', type=int, help='of an embedding; default: 128')
    add('--k', type=int, help='neighbors; default: 20')
    add('--device', help='of the embeddings; default: cpu')
    quick = 'once, of 100 and 200'
    add_common_arguments(parser, 'outputs/scaling_benchmark.json', quick)
    return parser


def print_result(result):
    """Print the table, the slopes and the targets."""
    table = Table('part', 'n', 'kind', 'ms', 'to baseline')
    for row in result['costs']:
        ratio = format_spread(row['ratio'], 2)
        time = format_spread(row['ms'], 1)
        table.add_row(row['part'], f'{row["n"]:,}', row['kind'], time, ratio)
    Console().print(table)
    for row in result['slopes']:
        print(f'{row["part"]}, {row["kind"]}: slope {row["slope"]:.2f}')
    for found in result['targets']:
        print(format_target(found))


@entry_point()
def main():
    """Run the tool."""
    quick = dict(sizes=[100, 200], rounds=1, warmup=0, lines=10)
    args = parse_args(make_parser())
    from mask_plugins.benchmarks.scaling_chart import plot_scaling
    from mask_plugins.sweeps.scaling import SweepScalingBenchmark

    run_benchmark(
        args, SweepScalingBenchmark, print_result, plot_scaling, quick
    )


if __name__ == '__main__':
    main()
