# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the benchmark tools have in common on the command line.

``--help`` needs no torch: a tool imports its benchmark when it has read the
command line, and what may be chosen is checked by the benchmark.
"""

import argparse
import os.path as osp
import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

from mask_plugins.utils.files import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def add_common_arguments(
    parser: argparse.ArgumentParser, out: str, quick: str = ''
) -> None:
    """Add what most benchmarks are told; what is not given is theirs.

    Args:
        parser (argparse.ArgumentParser): Changed in place.
        out (str): Where results go by default.
        quick (str): What ``--quick`` does; '' leaves it out.
    """
    add = parser.add_argument
    add('--rounds', type=int, help='measurements of each case')
    add('--seed', type=int, default=0)
    add('--threads', type=int, help='CPU threads (default: all)')
    add('--clock', choices=('wall', 'cpu'), default='wall',
        help='cpu: time of this process alone, for a shared machine; use '
        'it with --threads 1')  # fmt: skip
    if quick:
        add('--quick', action='store_true',
            help=f'{quick}; options given with it hold')  # fmt: skip
    add('--out', default=out, metavar='FILE.json', help='results; the '
        'picture has the same name (default: %(default)s)')  # fmt: skip


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``, by default a GPU where there is one."""
    parser.add_argument(
        '--device', default='auto', help='default: cuda if there is one'
    )


def parse_args(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line, before anything that takes long is imported."""
    args = parser.parse_args()
    if not args.out.endswith('.json'):
        parser.error(f'--out must end in .json, got {args.out!r}')
    return args


def run_benchmark(
    args: argparse.Namespace,
    benchmark: Callable,
    show: Callable[[dict], None],
    plot: Optional[Callable[[dict], 'Figure']] = None,
    quick: Optional[Dict[str, Any]] = None,
) -> None:
    """Measure, print and write.

    Args:
        args (argparse.Namespace): Of :func:`parse_args`.
        benchmark (type): A dataclass with ``run``; its fields are given by
            the options of the same name.
        show (Callable): Prints a result.
        plot (Callable, optional): Draws it.
        quick (dict, optional): What ``--quick`` sets.
    """
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    if getattr(args, 'device', None) == 'auto':
        args.device = 'cuda' if torch.cuda.is_available() else 'cpu'
    given = dict(quick) if quick and args.quick else {}
    for field in fields(benchmark):
        if getattr(args, field.name, None) is not None:
            given[field.name] = getattr(args, field.name)
    begin = time.perf_counter()

    def log(message: str) -> None:
        seconds = time.perf_counter() - begin
        print(f'[{seconds:6.1f} s] {message}', flush=True)

    result = benchmark(**given, log=log).run()
    show(result)
    written = [write_json(args.out, result)]
    if plot is not None:
        from mask_plugins.visualization.figure import save_figure

        picture = f'{osp.splitext(args.out)[0]}.png'
        written.append(save_figure(plot(result), picture, dpi=150))
    log(f'wrote {", ".join(written)}')
