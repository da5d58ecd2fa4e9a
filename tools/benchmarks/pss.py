# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Time patch sampling: steps, memory, and the share of the bias look-up."""

import argparse
import sys

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

# Four blocks of each size say what twelve do, but for the patch embedding,
# which no ratio shortens and which weighs three times as much.
QUICK = dict(layers=4, batch_size=2, gather_layers=1, rounds=4, warmup=1)
OTHERS = ('original', 'patch_dropout', 'tome')
# As the paper trains, on one card.
GPU = dict(
    device='cuda', image_size=224, batch_size=128, dtype='bf16',
    modes=('train',), others=OTHERS, gather_batch_size=0,
)  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/benchmarks/pss.py --device cuda '
        '--batch-size 128 --dtype bf16 --compile --rounds 30',
    )
    add = parser.add_argument
    add('--arch', nargs='+', dest='archs', metavar='SIZE',
        help='tiny, small, base, large (default: small base)')  # fmt: skip
    add('--image-size', type=int, help='default: 224')
    add('--batch-size', type=int, help='default: 8')
    add('--drop-ratios', type=float, nargs='+',
        help='default: 0 0.2 0.4 0.6 0.8')  # fmt: skip
    add('--modes', nargs='+', choices=('train', 'infer'),
        help='default: both')  # fmt: skip
    add('--layers', type=int, help='blocks to build (default: all)')
    add('--gather-batch-size', type=int,
        help='batch of the bias measurements, 0: none; default: 16'
        )  # fmt: skip
    add('--gather-layers', type=int, help='blocks of those (default: all)')
    add('--iters', type=int, help='steps per measurement; default: 1')
    add('--warmup', type=int, help='rounds before; default: 2')
    add_device(parser)
    add('--dtype', choices=('fp32', 'bf16', 'fp16'), default='fp32')
    add('--compile', action='store_true', dest='compiled',
        help='use torch.compile')  # fmt: skip
    add('--others', nargs='+', choices=OTHERS, help='more models: the '
        "original's form, timm's PatchDropout (needs timm), token merging"
        )  # fmt: skip
    add('--gpu', action='store_true', help='training steps of all models on '
        'one GPU: 224 px, batch 128, bf16')  # fmt: skip
    add_common_arguments(
        parser, 'work_dirs/benchmarks/pss.json',
        'networks of four blocks, batch 2: under 90 s on 2 cores',
    )  # fmt: skip
    return parser


def print_result(result: dict) -> None:
    """Print the tables."""
    console = Console(width=max(110, Console().width))
    table = Table(
        'size', 'model', 'mode', 'drop', 'tokens', 'ms', 'to drop 0',
        'MAC-ideal', 'to ideal', 'to random', 'peak MiB',
        title='steps (median ± half the distance of the quartiles)',
    )  # fmt: skip
    last = None
    for row in sorted(
        result['steps'],
        key=lambda r: (r['arch'], r['mode'], r['model'], r['drop_ratio']),
    ):
        group = row['arch'], row['mode'], row['model']
        if last not in (None, group):
            table.add_section()
        last = group
        table.add_row(
            row['arch'],
            row['model'],
            row['mode'],
            f'{row["drop_ratio"]:.1f}',
            str(row['tokens']),
            cell(row['ms'], 1),
            cell(row['to_drop_0']),
            f'{row["mac_ideal"]:.3f}',
            cell(row['to_ideal']),
            cell(row['to_random']) if 'to_random' in row else '',
            f'{row["peak_mib"]:.0f}',
        )
    console.print(table)
    if result['schedule']:
        table = Table(
            'size', 'model', 'to drop 0', 'MAC-ideal', 'to ideal',
            title='training step, weighted by the cyclic schedule 80 -> 0',
        )  # fmt: skip
        for row in result['schedule']:
            table.add_row(
                row['arch'],
                row['model'],
                cell(row['to_drop_0']),
                f'{row["mac_ideal"]:.3f}',
                cell(row['to_ideal']),
            )
        console.print(table)
    if result['lookup']:
        table = Table(
            'method', 'drop', 'tokens', 'ms',
            title='bias look-up of one block, forward and backward',
        )  # fmt: skip
        for row in result['lookup']:
            table.add_row(
                row['method'].replace('_', ' '),
                f'{row["drop_ratio"]:.1f}',
                str(row['tokens']),
                cell(row['ms'], 2),
            )
        console.print(table)
    gather = result['gather']
    if gather:
        print(
            f'ViT-B width, drop {gather["drop_ratio"]}, batch '
            f'{gather["batch_size"]}, {gather["layers"]} blocks: a step of '
            f'{cell(gather["ms"]["gathered"], 1)} ms, '
            f'{cell(gather["ms"]["given"], 1)} ms with the bias given, '
            f'{cell(gather["ms"]["none"], 1)} ms without any bias; the '
            'look-up takes '
            f'{cell(gather["share"])} of it by difference, '
            f'{gather["share_of_lookups"]:.3f} by the look-ups alone'
        )
    if result['settings']['layers']:
        print(
            f'with {result["settings"]["layers"]} blocks the patch embedding, '
            'which no ratio shortens, weighs more than in the full network'
        )
    for target in result['targets']:
        print(format_target(target))


@entry_point()
def main() -> None:
    """Run the tool."""
    parser = make_parser()
    if '--gpu' in sys.argv[1:]:
        import torch

        if not torch.cuda.is_available():
            print('skipped: --gpu needs a GPU, and torch sees none here')
            return
        parser.set_defaults(**GPU)
    args = parse_args(parser)
    from mask_plugins.benchmarks.pss import PSSBenchmark
    from mask_plugins.benchmarks.pss_chart import plot_pss_benchmark

    run_benchmark(args, PSSBenchmark, print_result, plot_pss_benchmark, QUICK)


if __name__ == '__main__':
    main()
