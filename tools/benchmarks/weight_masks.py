# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Time masks of weights: training steps, memory, inference, adapters."""

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

# Masks cost the same at any batch, so small ones show a higher ratio.
QUICK = dict(batch_size=4, rounds=4, warmup=1)


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/benchmarks/weight_masks.py --device '
        'cuda --dtype bf16 --channels-last --rounds 50',
    )
    add = parser.add_argument
    add('--archs', nargs='+', metavar='ARCH',
        help='resnet18, resnet50, resnet20; default: all')  # fmt: skip
    add('--batch-size', type=int, help='default: 32; 128 for resnet20')
    add('--image-size', type=int, help='default: 112; 32 for resnet20')
    add('--iters', type=int, help='steps per measurement; default: 1')
    add('--warmup', type=int, help='rounds before; default: 2')
    add_device(parser)
    add('--dtype', choices=('fp32', 'bf16', 'fp16'), default='fp32')
    add('--channels-last', action='store_true', help='memory format')
    add_common_arguments(
        parser, 'work_dirs/benchmarks/weight_masks.json',
        'batch 4, 4 rounds: a minute on 2 cores',
    )  # fmt: skip
    return parser


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


@entry_point()
def main() -> None:
    """Run the tool."""
    args = parse_args(make_parser())
    from mask_plugins.benchmarks.weight_mask_chart import (
        plot_weight_mask_benchmark,
    )
    from mask_plugins.benchmarks.weight_masks import WeightMaskBenchmark

    run_benchmark(
        args, WeightMaskBenchmark, print_result,
        plot_weight_mask_benchmark, QUICK,
    )  # fmt: skip


if __name__ == '__main__':
    main()
