# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the analysis tools have in common on the command line."""

import argparse
import os
import shlex
import sys
import textwrap
from contextlib import suppress
from typing import Callable, Optional, Sequence

from mask_plugins.utils.checks import check_int, check_ratio
from mask_plugins.utils.openmmlab import imports_for

from .printing import (  # noqa: F401  (for the tools)
    make_table,
    print_table,
    print_written,
    show,
)

FORMATS = ('png', 'pdf')


def make_parser(
    description: str, tool: str, example: str, folder: str = 'analysis'
) -> argparse.ArgumentParser:
    """A parser whose help ends with an example.

    Args:
        description (str): What the tool does.
        tool (str): Basename of the tool.
        example (str): Arguments of a typical call.
        folder (str): Its folder in ``tools``; empty for ``tools`` itself.
            Defaults to ``'analysis'``.

    Examples:
        >>> parser = make_parser('Draw runs.', 'plot_training', 'work_dirs/a')
        >>> print(parser.epilog)
        example: python tools/analysis/plot_training.py work_dirs/a
        after an installation: mim run mask_plugins plot_training -- --help
    """
    path = '/'.join(filter(None, ('tools', folder, f'{tool}.py')))
    return argparse.ArgumentParser(
        description=textwrap.fill(description, 78),
        # On one line, so that it can be copied.
        epilog=f'example: python {path} {example}\n'
        f'after an installation: mim run mask_plugins {tool} -- --help',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_output_arguments(
    parser: argparse.ArgumentParser, default: str
) -> None:
    """Add ``--out`` and ``--format``.

    Args:
        parser (argparse.ArgumentParser): Changed in place.
        default (str): What ``--out`` is by default, in words.

    Examples:
        >>> parser = argparse.ArgumentParser()
        >>> add_output_arguments(parser, 'the work_dir')
        >>> parser.parse_args(['--out', 'figures']).format
        'png'
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


def add_html_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--html``.

    Examples:
        >>> parser = argparse.ArgumentParser()
        >>> add_html_argument(parser)
        >>> parser.parse_args([]).html
        False
    """
    parser.add_argument(
        '--html',
        action='store_true',
        help='write a report too: one HTML file with tables and pictures',
    )


def command_line(tool: str, argv: Optional[Sequence[str]] = None) -> str:
    """The command line of a tool, to be typed again.

    Args:
        tool (str): Its path below ``tools``, without the ending.
        argv (Sequence[str], optional): Its arguments; None is those of the
            process.

    Examples:
        >>> command_line('analysis/sweep_drop', ['my config.py', 'a.pth'])
        "python tools/analysis/sweep_drop.py 'my config.py' a.pth"
    """
    words = sys.argv[1:] if argv is None else argv
    return shlex.join(['python', f'tools/{tool}.py', *words])


def add_model_arguments(
    parser: argparse.ArgumentParser,
    optional: bool = False,
    scorer: bool = True,
) -> None:
    """Add the config, the checkpoint, and how to run the model.

    Args:
        parser (argparse.ArgumentParser): Changed in place.
        optional (bool): Whether both may be left out. Defaults to False.
        scorer (bool): Whether tokens are ranked. Defaults to True.

    Examples:
        >>> parser = argparse.ArgumentParser()
        >>> add_model_arguments(parser)
        >>> parser.parse_args(['c.py', 'c.pth', '--device', 'cpu']).checkpoint
        'c.pth'
    """
    nargs = dict(nargs='?') if optional else {}
    parser.add_argument('config', help='config file of the model', **nargs)
    parser.add_argument(
        'checkpoint', help='its weights, .pth or .safetensors', **nargs
    )
    if scorer:
        parser.add_argument(
            '--scorer',
            help='what ranks the tokens: magnitude, l2_magnitude, random or '
            'gate (default: that of the config)',
        )
    parser.add_argument(
        '--device', help='cpu, cuda or cuda:N (default: a GPU if there is one)'
    )
    add_config_options(parser)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``.

    Examples:
        >>> parser = argparse.ArgumentParser()
        >>> add_config_options(parser)
        >>> parser.parse_args(['--cfg-options', 'a.b=1']).cfg_options
        ['a.b=1']
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='change settings of the config',
    )


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which part of the test set is used, and in what batches.

    Examples:
        >>> parser = argparse.ArgumentParser()
        >>> add_data_arguments(parser)
        >>> parser.parse_args(['--limit', '20']).limit
        20
    """
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
    """Add ``--drop-ratios``.

    Examples:
        >>> parser = argparse.ArgumentParser()
        >>> add_ratio_argument(parser, [0.0, 0.8])
        >>> parser.parse_args(['--drop-ratios', '0.5']).drop_ratios
        [0.5]
    """
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
    """A number in [0, 1), for ``add_argument(type=...)``.

    Examples:
        >>> drop_ratio('0.8')
        0.8
    """
    return _argument(float, text, 'a drop ratio', check_ratio, ends='[)')


def positive(text: str) -> int:
    """An int above 0, for ``add_argument(type=...)``.

    Examples:
        >>> positive('3')
        3
    """
    return _argument(int, text, 'it', check_int, low=1)


def _argument(kind: type, text: str, name: str, check: Callable, **bounds):
    with suppress(ValueError):
        text = kind(text)
    try:
        return check(name, text, **bounds)
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(error) from error


def parse_options(pairs: Sequence[str]) -> dict:
    """``KEY=VALUE`` to a dict, with mmengine's rules for values.

    Raises:
        ValueError: If a pair has no ``=``.

    Examples:
        >>> parse_options(['a.b=[1,2]', 'lr=1e-3'])
        {'a.b': [1, 2], 'lr': 0.001}
    """
    with imports_for():
        from mmengine.config import DictAction

    wrong = [pair for pair in pairs if '=' not in pair]
    if wrong:
        raise ValueError(f'expected KEY=VALUE, got {wrong[0]!r}')
    namespace = argparse.Namespace()
    DictAction(['--x'], 'options')(None, namespace, list(pairs))
    return namespace.options


def output_folder(out: Optional[str], default: str) -> str:
    """``--out``, or the default; an error if it is a file.

    Raises:
        NotADirectoryError: If it is.

    Examples:
        >>> output_folder(None, 'work_dirs/a')
        'work_dirs/a'
    """
    folder = default if out is None else out
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise NotADirectoryError(f'--out {folder} is a file, not a folder')
    return folder or '.'
