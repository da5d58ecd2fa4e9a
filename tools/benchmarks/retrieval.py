# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Time HGSL, an obvious loop and ProxyNCA, and retrieval measures."""

import argparse
import sys

import torch
from rich.console import Console
from rich.table import Table

from mask_plugins.benchmarks.retrieval import RetrievalBenchmark
from mask_plugins.benchmarks.statistics import format_spread
from mask_plugins.utils.files import write_json
from mask_plugins.utils.timing import Stopwatch


def parse_args():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Time the Hard Global Softmin Loss, forward and backward, '
        'next to a loop over the batch and ProxyNCA, and the measures of '
        'retrieval next to a loop over the queries.',
        epilog='example: python tools/benchmarks/retrieval.py --classes 100 '
        '--images 6000 --out outputs/retrieval_benchmark.json',
    )
    parser.add_argument('--classes', nargs='*', type=int,
                        default=[100, 11318])  # fmt: skip
    parser.add_argument('--images', nargs='*', type=int,
                        default=[6000, 60000])  # fmt: skip
    parser.add_argument('--channels', type=int, default=4096)
    parser.add_argument('--dims', type=int, default=512)
    parser.add_argument('--batch-size', type=int, default=84)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--device', default='cpu')
    parser.add_argument(
        '--clock',
        choices=('wall', 'cpu'),
        default='wall',
        help='cpu: time that this process had the CPU, on a machine that '
        'others use, with --threads 1 (default: %(default)s)',
    )
    parser.add_argument('--threads', type=int, help='of torch')
    parser.add_argument(
        '--out', default='outputs/retrieval_benchmark.json', metavar='JSON'
    )
    args = parser.parse_args()
    if not args.out.endswith('.json'):
        parser.error(f'--out must end in .json, got {args.out!r}')
    return args


def main():
    """Run the tool."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    log = Stopwatch()

    try:
        result = RetrievalBenchmark(
            args.classes, args.images, args.channels, args.dims,
            args.batch_size, args.rounds, args.device, args.clock, log,
        ).run()  # fmt: skip
    except ValueError as error:
        sys.exit(f'error: {error}')
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
    print(f'wrote {write_json(args.out, result)}')


if __name__ == '__main__':
    main()
