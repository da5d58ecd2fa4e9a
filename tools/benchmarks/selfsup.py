# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Time masked SwAV, Sinkhorn, k-NN, and batches of several experts."""

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

QUICK = dict(
    arch='resnet18', batch_size=6, image_size=64, prototypes=300, samples=64,
    queries=500, bank=5000, dims=256, rounds=3,
)  # fmt: skip


def make_parser():
    """The options."""
    parser = argparse.ArgumentParser(
        description='Time a step of masked SwAV next to stock SwAV with '
        'fine-tuning, Sinkhorn next to its plain form, k-NN, the swap of '
        'adapters, and batches of several experts next to one network.',
        epilog='example: python tools/benchmarks/selfsup.py --threads 1 '
        '--clock cpu',
    )
    add = parser.add_argument
    add('--arch', choices=('resnet18', 'resnet50'))
    add('--batch-size', type=int, help='default: 12')
    add('--image-size', type=int, help='of large crops; default: 112')
    add('--prototypes', type=int, help='default: 3000')
    add('--samples', type=int, help='of Sinkhorn; default: 512')
    add('--queries', type=int, help='of k-NN; default: 10000')
    add('--bank', type=int, help='of k-NN; default: 50000')
    add('--dims', type=int, help='of k-NN; default: 2048')
    add('--device', help='default: cpu')
    add_common_arguments(
        parser, 'work_dirs/benchmarks/selfsup.json',
        'ResNet-18 and small sizes',
    )  # fmt: skip
    return parser


def print_result(result):
    """Print the table and the targets."""
    from mask_plugins.benchmarks.selfsup import EXPERTS

    table = Table('part', 'case', 'ms', 'to the first', 'peak MiB')
    knn = dict(result['knn'], part='k-NN')
    rows = [dict(row, part='step of SwAV') for row in result['swav']]
    for row in result['sinkhorn']:
        rows.append(dict(row, part=f'Sinkhorn, {row["samples"]} samples'))
    rows += [knn, *(dict(row, part='batch') for row in result['experts'])]
    for row in rows:
        memory = row.get('memory_mib')
        table.add_row(
            row['part'],
            row['kind'],
            format_spread(row['ms'], 1),
            format_spread(row['to_first']),
            '' if memory is None else f'{memory:.0f}',
        )
    Console().print(table)
    adapters = result['adapters']
    for what, key in (('adapters', 'file_bytes'), ('networks', 'model_bytes')):
        print(f'{EXPERTS} {what}: {EXPERTS * adapters[key]:,} bytes')
    for target in result['targets']:
        print(format_target(target))


@entry_point()
def main():
    """Run the tool."""
    args = parse_args(make_parser())
    from mask_plugins.benchmarks.selfsup import SelfSupBenchmark

    run_benchmark(args, SelfSupBenchmark, print_result, quick=QUICK)


if __name__ == '__main__':
    main()
