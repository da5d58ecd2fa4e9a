# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Time teachers: training steps, update of an average, RankMe."""

import argparse
import sys

import torch
from rich.console import Console
from rich.table import Table

from mask_plugins.benchmarks.reference_model_chart import (
    plot_reference_model_benchmark,
)
from mask_plugins.benchmarks.reference_models import ReferenceModelBenchmark
from mask_plugins.benchmarks.statistics import format_spread as cell
from mask_plugins.benchmarks.statistics import format_target
from mask_plugins.utils.files import write_json
from mask_plugins.utils.timing import Stopwatch
from mask_plugins.visualization.figure import save_figure

FULL = dict(channels=40, batch_size=128, rounds=10, rows=25_600, dims=512)
QUICK = dict(channels=16, batch_size=16, rounds=4, rows=4_096, dims=128)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/benchmarks/reference_models.py '
        '--device cuda --rounds 50',
    )
    add = parser.add_argument
    add('--channels', type=int, help='of the first stage; default: 40')
    add('--batch-size', type=int, help='default: 128')
    add('--rounds', type=int, help='measurements of each case; default: 10')
    add('--warmup', type=int, default=1, help='rounds before; default: 1')
    add('--rows', type=int, help='features for RankMe; default: 25600')
    add('--dims', type=int, help='their channels; default: 512')
    add('--no-svd', action='store_true',
        help='RankMe without the SVD to compare with, which needs all '
        'features in memory')  # fmt: skip
    add('--seed', type=int, default=0)
    add('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    add('--threads', type=int, help='CPU threads (default: all)')
    add('--clock', choices=('wall', 'cpu'), default='wall',
        help='cpu: time of this process alone, for a shared machine; use '
        'it with --threads 1')  # fmt: skip
    add('--quick', action='store_true',
        help='16 channels, batch 16, 4 rounds: half a minute on 2 cores; '
        'options given with it hold')  # fmt: skip
    add('--out', default='work_dirs/benchmarks/reference_models.json',
        metavar='FILE.json', help='results; the picture has the same name '
        '(default: %(default)s)')  # fmt: skip
    args = parser.parse_args()
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if not args.out.endswith('.json'):
        parser.error(f'--out must end in .json, got {args.out!r}')
    return args


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


def main() -> None:
    """Run the tool."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    log = Stopwatch()

    try:
        result = ReferenceModelBenchmark(
            channels=args.channels,
            batch_size=args.batch_size,
            rounds=args.rounds,
            warmup=args.warmup,
            seed=args.seed,
            clock=args.clock,
            rows=args.rows,
            dims=args.dims,
            svd=not args.no_svd,
            device=args.device,
            log=log,
        ).run()
    except ValueError as error:
        sys.exit(f'error: {error}')
    print_result(result)
    picture = args.out[: -len('.json')] + '.png'
    write_json(args.out, result)
    save_figure(plot_reference_model_benchmark(result), picture, dpi=150)
    print(f'{log.seconds:.0f} s; wrote {args.out}, {picture}')


if __name__ == '__main__':
    main()
