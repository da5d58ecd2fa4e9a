# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Time patch sampling: steps, memory, and the share of the bias look-up."""

import argparse
import json
import os
import sys

import torch
from rich.console import Console
from rich.table import Table

from mask_plugins.benchmarks.precision import DTYPES
from mask_plugins.benchmarks.pss import PSSBenchmark
from mask_plugins.benchmarks.pss_chart import plot_pss_benchmark
from mask_plugins.benchmarks.statistics import format_spread as cell
from mask_plugins.benchmarks.statistics import format_target
from mask_plugins.utils.timing import Stopwatch
from mask_plugins.visualization.figure import save_figure

# Four blocks of each size say what twelve do, but for the patch embedding,
# which no ratio shortens and which weighs three times as much.
QUICK = dict(layers=4, batch_size=2, gather_layers=1, rounds=4, warmup=1)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/benchmarks/pss.py --device cuda '
        '--batch-size 128 --dtype bf16 --compile --rounds 30',
    )
    add = parser.add_argument
    add('--arch', nargs='+', default=['small', 'base'], metavar='SIZE',
        help='tiny, small, base, large (default: small base)')  # fmt: skip
    add('--image-size', type=int, default=224)
    add('--batch-size', type=int, help='default: 8')
    add('--drop-ratios', type=float, nargs='+',
        default=[0, 0.2, 0.4, 0.6, 0.8])  # fmt: skip
    add('--modes', nargs='+', choices=PSSBenchmark.MODES,
        default=list(PSSBenchmark.MODES))  # fmt: skip
    add('--layers', type=int, help='blocks to build (default: all)')
    add('--gather-batch-size', type=int, default=16,
        help='batch of the bias measurements, 0: none')  # fmt: skip
    add('--gather-layers', type=int, help='blocks of those (default: all)')
    add('--rounds', type=int, help='measurements of each case; default: 10')
    add('--iters', type=int, default=1, help='steps per measurement')
    add('--warmup', type=int, help='rounds before; default: 2')
    add('--seed', type=int, default=0)
    add('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    add('--dtype', choices=tuple(DTYPES), default='fp32')
    add('--compile', action='store_true', help='use torch.compile')
    add('--threads', type=int, help='CPU threads (default: all)')
    add('--clock', choices=('wall', 'cpu'), default='wall',
        help='cpu: time of this process alone, for a shared machine; use '
        'it with --threads 1')  # fmt: skip
    add('--quick', action='store_true',
        help='networks of four blocks, batch 2: under 90 s on 2 cores; '
        'other options still apply')  # fmt: skip
    add('--out', default='work_dirs/benchmarks/pss.json', metavar='FILE.json',
        help='results; the picture is written next to them (default: '
        '%(default)s)')  # fmt: skip
    args = parser.parse_args()
    defaults = dict(batch_size=8, rounds=10, warmup=2)
    for name, value in (QUICK if args.quick else defaults).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if not args.out.endswith('.json'):
        parser.error(f'--out must end in .json, got {args.out!r}')
    return args


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


def main() -> None:
    """Run the tool."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    log = Stopwatch()

    try:
        benchmark = PSSBenchmark(
            archs=args.arch,
            image_size=args.image_size,
            batch_size=args.batch_size,
            drop_ratios=args.drop_ratios,
            modes=args.modes,
            layers=args.layers,
            gather_batch_size=args.gather_batch_size,
            gather_layers=args.gather_layers,
            rounds=args.rounds,
            iters=args.iters,
            warmup=args.warmup,
            seed=args.seed,
            clock=args.clock,
            device=args.device,
            dtype=args.dtype,
            compiled=args.compile,
            log=log,
        )
    except ValueError as error:
        sys.exit(f'error: {error}')
    result = benchmark.run()
    print_result(result)
    picture = args.out[: -len('.json')] + '.png'
    os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)
    with open(args.out, 'w') as file:
        json.dump(result, file, indent=2)
    save_figure(plot_pss_benchmark(result), picture, dpi=150)
    print(f'{log.seconds:.0f} s; wrote {args.out}, {picture}')


if __name__ == '__main__':
    main()
