# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the analysis tools have in common on the command line."""

import argparse
import os
import sys
import textwrap
import time
from contextlib import contextmanager
from typing import Any, Iterator, Optional, Sequence

from mask_plugins.visualization.figure import FORMATS


def make_parser(
    description: str, tool: str, example: str, folder: str = 'analysis'
) -> argparse.ArgumentParser:
    """A parser whose help ends with an example.

    Args:
        description (str): What the tool does.
        tool (str): Basename of the tool.
        example (str): Arguments of a typical call.
        folder (str): Where in ``tools`` it lies. Defaults to ``'analysis'``.
    """
    return argparse.ArgumentParser(
        description=textwrap.fill(description, 78),
        # On one line, so that it can be copied.
        epilog=f'example: python tools/{folder}/{tool}.py {example}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_output_arguments(
    parser: argparse.ArgumentParser, default: str
) -> None:
    """Add ``--out`` and ``--format``.

    Args:
        parser (argparse.ArgumentParser): Changed in place.
        default (str): What ``--out`` is by default, in words.
    """
    parser.add_argument(
        '--out', metavar='DIR', help=f'folder to write to (default: {default})'
    )
    parser.add_argument(
        '--format',
        choices=FORMATS,
        default=FORMATS[0],
        help='of pictures; 300 dpi (default: %(default)s)',
    )


def add_model_arguments(
    parser: argparse.ArgumentParser, optional: bool = False
) -> None:
    """Add the config, the checkpoint, and how to run the model."""
    nargs = dict(nargs='?') if optional else {}
    parser.add_argument('config', help='config file of the model', **nargs)
    parser.add_argument(
        'checkpoint', help='its weights, .pth or .safetensors', **nargs
    )
    parser.add_argument(
        '--scorer',
        help='what ranks the tokens: magnitude, l2_magnitude, random or gate '
        '(default: that of the config)',
    )
    parser.add_argument(
        '--device', help='cpu, cuda or cuda:N (default: a GPU if there is one)'
    )
    add_config_options(parser)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='change settings of the config',
    )


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which part of the test set is used, and in what batches."""
    parser.add_argument(
        '--batch-size',
        type=positive,
        metavar='N',
        help='images per forward pass (default: that of the config)',
    )
    parser.add_argument(
        '--limit',
        type=positive,
        metavar='N',
        help='take N images, spread evenly over the test set (default: all)',
    )


def add_ratio_argument(
    parser: argparse.ArgumentParser, default: Sequence[float]
) -> None:
    """Add ``--drop-ratios``."""
    parser.add_argument(
        '--drop-ratios',
        nargs='+',
        type=drop_ratio,
        default=list(default),
        metavar='D',
        help='shares of tokens dropped, in [0, 1) '
        f'(default: {" ".join(f"{ratio:g}" for ratio in default)})',
    )


def drop_ratio(text: str) -> float:
    """A number in [0, 1), for ``add_argument(type=...)``."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(
            f'a drop ratio must be a number in [0, 1), got {text!r}'
        )
    return value


def positive(text: str) -> int:
    """An int above 0, for ``add_argument(type=...)``."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(
            f'must be an int of at least 1, got {text!r}'
        )
    return value


class Stopwatch:
    """Print what a long tool does, each line with the seconds so far."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.perf_counter() - self._start

    def __call__(self, message: str) -> None:
        """Print a line."""
        print(f'[{self.seconds:6.1f} s] {message}', flush=True)


def parse_options(pairs: Sequence[str]) -> dict:
    """``KEY=VALUE`` to a dict, with mmengine's rules for values.

    Raises:
        ValueError: If a pair has no ``=``.
    """
    from mmengine.config import DictAction

    wrong = [pair for pair in pairs if '=' not in pair]
    if wrong:
        raise ValueError(f'expected KEY=VALUE, got {wrong[0]!r}')
    namespace = argparse.Namespace()
    DictAction(['--x'], 'options')(None, namespace, list(pairs))
    return namespace.options


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn errors of the input into one line on stderr and exit code 1."""
    try:
        yield
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')


def output_folder(out: Optional[str], default: str) -> str:
    """``--out``, or the default; an error if it is a file.

    Raises:
        NotADirectoryError: If it is.
    """
    folder = default if out is None else out
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise NotADirectoryError(f'--out {folder} is a file, not a folder')
    return folder or '.'


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = ''
) -> None:
    """Print a table; the first column is text, the others are numbers."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for index, name in enumerate(columns):
        justify = 'right' if index else 'left'
        table.add_column(name, justify=justify, overflow='fold')
    for row in rows:
        table.add_row(*['-' if cell is None else str(cell) for cell in row])
    if title:  # rich would break it to the width of the table
        print(title)
    # In a file or a pipe there is no width to ask for.
    console = Console()
    width = console.width if console.is_terminal else 110
    Console(width=max(80, width)).print(table)


def print_written(paths: Sequence[str]) -> None:
    """Say where the results are."""
    for path in paths:
        print(f'wrote {path}')
