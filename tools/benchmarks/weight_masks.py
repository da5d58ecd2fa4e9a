# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Time masks of weights: training steps, memory, inference, adapters."""

import argparse
import sys

import torch
from rich.console import Console
from rich.table import Table

from mask_plugins.benchmarks.precision import DTYPES
from mask_plugins.benchmarks.statistics import format_spread as cell
from mask_plugins.benchmarks.statistics import format_target
from mask_plugins.benchmarks.weight_mask_chart import (
    plot_weight_mask_benchmark,
)
from mask_plugins.benchmarks.weight_masks import WeightMaskBenchmark
from mask_plugins.utils.files import write_json
from mask_plugins.utils.timing import Stopwatch
from mask_plugins.visualization.figure import save_figure

# Masks cost the same at any batch, so small ones show a higher ratio.
QUICK = dict(batch_size=4, rounds=4, warmup=1)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/benchmarks/weight_masks.py --device '
        'cuda --dtype bf16 --channels-last --rounds 50',
    )
    add = parser.add_argument
    archs = tuple(WeightMaskBenchmark.ARCHS)
    add('--archs', nargs='+', choices=archs, default=list(archs),
        help='default: all')  # fmt: skip
    add('--batch-size', type=int, help='default: 32; 128 for resnet20')
    add('--image-size', type=int, help='default: 112; 32 for resnet20')
    add('--rounds', type=int, help='measurements of each case; default: 10')
    add('--iters', type=int, default=1, help='steps per measurement')
    add('--warmup', type=int, help='rounds before; default: 2')
    add('--seed', type=int, default=0)
    add('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    add('--dtype', choices=tuple(DTYPES), default='fp32')
    add('--channels-last', action='store_true', help='memory format')
    add('--threads', type=int, help='CPU threads (default: all)')
    add('--clock', choices=('wall', 'cpu'), default='wall',
        help='cpu: time of this process alone, for a shared machine; use '
        'it with --threads 1')  # fmt: skip
    add('--quick', action='store_true',
        help='batch 4, 4 rounds: a minute on 2 cores; options given '
        'next to it hold')  # fmt: skip
    add('--out', default='work_dirs/benchmarks/weight_masks.json',
        metavar='FILE.json', help='results; the picture lies next to them '
        '(default: %(default)s)')  # fmt: skip
    args = parser.parse_args()
    defaults = dict(rounds=10, warmup=2)
    for name, value in (QUICK if args.quick else defaults).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if not args.out.endswith('.json'):
        parser.error(f'--out must end in .json, got {args.out!r}')
    return args


def print_steps(console: Console, rows: list) -> None:
    """Print training steps: time next to dense, bounds, memory."""
    table = Table(
        'network', 'masks', 'step ms', 'to dense', 'extra ms', 'alone ms',
        '24 B ms', 'own bound', 'as defined', 'peak MiB', 'extra B/weight',
        title='training step (median ± half the distance of the quartiles)',
    )  # fmt: skip
    for index, row in enumerate(rows):
        if index and rows[index - 1]['arch'] != row['arch']:
            table.add_section()
        cells = [
            row['arch'],
            row['kind'].replace('_', ' '),
            cell(row['ms'], 1),
            cell(row['to_dense']),
        ]
        if row['kind'] == 'dense':
            cells += [''] * 5 + [f'{row["memory_mib"]:.0f}', '']
        else:
            cells += [
                cell(row['extra_ms'], 1),
                cell(row['alone_ms'], 1),
                f'{row["bound_ms"]:.1f}',
                f'{row["own_bound_ms"]:.1f}',
                f'{row["defined_bound_ms"]:.1f}',
                f'{row["memory_mib"]:.0f}',
                f'{row["extra_bytes_per_weight"]:.1f} of '
                f'{row["kept_bytes_per_weight"]}',
            ]
        table.add_row(*cells)
    console.print(table)


def print_result(result: dict) -> None:
    """Print the tables and the targets."""
    console = Console(width=max(150, Console().width))
    print_steps(console, result['steps'])
    speeds = {row['arch']: row['copy_gb_per_s'] for row in result['steps']}
    listed = ', '.join(f'{k} {v:.1f}' for k, v in speeds.items())
    print(
        f'copy bandwidth in GB/s, bytes read and written: {listed}\n'
        'bounds: 24 bytes per masked weight at that speed; own: 24 for '
        'scores, 56 for soft masks, whose weights and logits are both '
        'trained; as defined: 36 for scores, as sqrt(N / n) must be known '
        'before the product'
    )
    table = Table('network', 'weights', 'ms', 'to dense', title='inference')
    for row in result['inference']:
        table.add_row(
            row['arch'],
            dict(dense='dense', score='masked', merged='merged')[row['kind']],
            cell(row['ms'], 1),
            cell(row['to_dense']),
        )
    console.print(table)
    table = Table(
        'network', 'masked', 'packed B', 'fp32 / packed', 'file B',
        'model / file', 'load ms', 'swap ms', title='adapters',
    )  # fmt: skip
    for row in result['adapters']:
        table.add_row(
            row['arch'],
            f'{row["masked"]:,}',
            f'{row["packed_bytes"]:,}',
            f'{row["fp32_to_packed"]:.2f}',
            f'{row["file_bytes"]:,}',
            f'{row["model_to_file"]:.1f}',
            cell(row['load_ms'], 1),
            cell(row['swap_ms'], 1),
        )
    console.print(table)
    for target in result['targets']:
        print(format_target(target))


def main() -> None:
    """Run the tool."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    log = Stopwatch()

    try:
        options = dict(vars(args))
        for name in ('threads', 'quick', 'out'):
            del options[name]
        benchmark = WeightMaskBenchmark(**options, log=log)
        result = benchmark.run()
    except ValueError as error:
        sys.exit(f'error: {error}')
    print_result(result)
    picture = args.out[: -len('.json')] + '.png'
    write_json(args.out, result)
    save_figure(plot_weight_mask_benchmark(result), picture, dpi=150)
    print(f'{log.seconds:.0f} s; wrote {args.out}, {picture}')


if __name__ == '__main__':
    main()
