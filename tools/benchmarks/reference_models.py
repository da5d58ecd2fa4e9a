# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Time teachers: training steps, update of an average, RankMe."""

import argparse

from rich.console import Console
from rich.table import Table

from mask_plugins.benchmarks.cli import (
    add_common_arguments,
    add_device,
    parse_args,
    run_benchmark,
)
from mask_plugins.benchmarks.statistics import format_spread as cell
from mask_plugins.benchmarks.statistics import format_target
from mask_plugins.utils.entry_point import entry_point

QUICK = dict(channels=16, batch_size=16, rounds=4, rows=4_096, dims=128)


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/benchmarks/reference_models.py '
        '--device cuda --rounds 50',
    )
    add = parser.add_argument
    add('--channels', type=int, help='of the first stage; default: 40')
    add('--batch-size', type=int, help='default: 128')
    add('--warmup', type=int, default=1, help='rounds before; default: 1')
    add('--rows', type=int, help='features for RankMe; default: 25600')
    add('--dims', type=int, help='their channels; default: 512')
    add('--no-svd', action='store_false', dest='svd',
        help='RankMe without the SVD to compare with, which needs all '
        'features in memory')  # fmt: skip
    add_device(parser)
    add_common_arguments(
        parser, 'work_dirs/benchmarks/reference_models.json',
        '16 channels, batch 16, 4 rounds: half a minute on 2 cores',
    )  # fmt: skip
    return parser


def print_result(result: dict) -> None:
    """Print the tables and the targets."""
    console = Console(width=max(100, Console().width))
    table = Table(
        'method', 'step ms', 'to CE',
        title='training step (median ± half the distance of the quartiles)',
    )  # fmt: skip
    for row in result['steps']:
        table.add_row(row['method'], cell(row['ms'], 1), cell(row['to_ce']))
    console.print(table)
    table = Table(
        'network', 'tensors', "mmengine's loop ms", 'all at once ms',
        'to the loop', 'launches', title='update of an average',
    )  # fmt: skip
    for row in result['ema']:
        launches = row.get('launches', {})
        table.add_row(
            row['network'],
            str(row['tensors']),
            cell(row['loop_ms']),
            cell(row['ours_ms']),
            cell(row['to_loop']),
            ', '.join(f'{k} {v}' for k, v in launches.items()) or '-',
        )
    console.print(table)
    settings, found = result['settings'], result['rankme']
    table = Table(
        'RankMe', 'value', 'seconds',
        title=f'{settings["rows"]:,} x {settings["dims"]:,} features',
    )  # fmt: skip
    for name, value in found['values'].items():
        table.add_row(name, f'{value:.6f}', cell(found['seconds'][name], 2))
    console.print(table)
    for target in result['targets']:
        print(format_target(target))


@entry_point()
def main() -> None:
    """Run the tool."""
    args = parse_args(make_parser())
    from mask_plugins.benchmarks.reference_model_chart import (
        plot_reference_model_benchmark,
    )
    from mask_plugins.benchmarks.reference_models import (
        ReferenceModelBenchmark,
    )

    run_benchmark(
        args, ReferenceModelBenchmark, print_result,
        plot_reference_model_benchmark, QUICK,
    )  # fmt: skip


if __name__ == '__main__':
    main()
