# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the benchmark tools have in common on the command line."""

import argparse
import os.path as osp
import time
from dataclasses import fields
from typing import Any, Callable, Dict, Optional

import torch
from matplotlib.figure import Figure

from mask_plugins.analysis.cli import clear_errors
from mask_plugins.utils.files import write_json
from mask_plugins.utils.timing import CLOCKS
from mask_plugins.visualization.figure import save_figure


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
    add('--clock', choices=tuple(CLOCKS), default='wall',
        help='cpu: time of this process alone, for a shared machine; use '
        'it with --threads 1')  # fmt: skip
    if quick:
        add('--quick', action='store_true',
            help=f'{quick}; options given with it hold')  # fmt: skip
    add('--out', default=out, metavar='FILE.json', help='results; the '
        'picture has the same name (default: %(default)s)')  # fmt: skip


def run_benchmark(
    parser: argparse.ArgumentParser,
    benchmark: Callable,
    show: Callable[[dict], None],
    plot: Optional[Callable[[dict], Figure]] = None,
    quick: Optional[Dict[str, Any]] = None,
) -> None:
    """Read the command line, measure, print and write.

    Args:
        parser (argparse.ArgumentParser): Of the tool.
        benchmark (type): A dataclass with ``run``; its fields are given by
            the options of the same name.
        show (Callable): Prints a result.
        plot (Callable, optional): Draws it.
        quick (dict, optional): What ``--quick`` sets.
    """
    args = parser.parse_args()
    stem, ending = osp.splitext(args.out)
    if ending != '.json':
        parser.error(f'--out must end in .json, got {args.out!r}')
    if args.threads:
        torch.set_num_threads(args.threads)
    given = dict(quick) if quick and args.quick else {}
    for field in fields(benchmark):
        if getattr(args, field.name, None) is not None:
            given[field.name] = getattr(args, field.name)
    begin = time.perf_counter()

    def log(message: str) -> None:
        seconds = time.perf_counter() - begin
        print(f'[{seconds:6.1f} s] {message}', flush=True)

    with clear_errors():
        result = benchmark(**given, log=log).run()
    show(result)
    written = [write_json(args.out, result)]
    if plot is not None:
        written.append(save_figure(plot(result), f'{stem}.png', dpi=150))
    log(f'wrote {", ".join(written)}')
