# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Time HGSL, an obvious loop and ProxyNCA, and retrieval measures."""

import argparse

from rich.console import Console
from rich.table import Table

from mask_plugins.benchmarks.cli import (
    add_common_arguments,
    parse_args,
    run_benchmark,
)
from mask_plugins.benchmarks.statistics import format_spread
from mask_plugins.utils.entry_point import entry_point


def make_parser():
    """The options."""
    parser = argparse.ArgumentParser(
        description='Time the Hard Global Softmin Loss, forward and backward, '
        'next to a loop over the batch and ProxyNCA, and the measures of '
        'retrieval next to a loop over the queries.',
        epilog='example: python tools/benchmarks/retrieval.py --classes 100 '
        '--images 6000 --out outputs/retrieval_benchmark.json',
    )
    add = parser.add_argument
    add('--classes', nargs='*', type=int, help='default: 100 11318')
    add('--images', nargs='*', type=int, help='default: 6000 60000')
    add('--channels', type=int, help='of the loss; default: 4096')
    add('--dims', type=int, help='of the measures; default: 512')
    add('--batch-size', type=int, help='default: 84')
    add('--device', help='default: cpu')
    add_common_arguments(parser, 'outputs/retrieval_benchmark.json')
    return parser


def print_result(result):
    """Print the table."""
    table = Table('case', 'kind', 'ms', 'peak MiB')
    for row in result['losses'] + result['measures']:
        case = (
            f'{row["classes"]} classes'
            if 'classes' in row
            else f'{row["images"]} images'
        )
        memory = row['memory_mib']
        table.add_row(
            case,
            row['kind'],
            format_spread(row['ms'], 1),
            '-' if memory is None else f'{memory:.0f}',
        )
    Console().print(table)


@entry_point()
def main():
    """Run the tool."""
    args = parse_args(make_parser())
    from mask_plugins.benchmarks.retrieval import RetrievalBenchmark

    run_benchmark(args, RetrievalBenchmark, print_result)


if __name__ == '__main__':
    main()
