# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the converter tools have in common."""

import argparse
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Callable, Dict

from .. import cli

if TYPE_CHECKING:  # torch, which `--help` does not need
    from mask_plugins.models.converters.vit import Conversion


def make_parser(
    source: str,
    tool: str,
    default_key: str = 'model',
    target: str = 'mask_plugins.PSSVisionTransformer',
) -> argparse.ArgumentParser:
    """The options that every converter has; a tool may add to them.

    Args:
        source (str): Whose checkpoints it reads.
        tool (str): Basename of the tool, for the example.
        default_key (str): Entry of the file that holds the weights.
            Defaults to ``'model'``.
        target (str): Whose names the weights get. Defaults to
            ``'mask_plugins.PSSVisionTransformer'``.

    Examples:
        >>> make_parser('DeiT', 'deit').parse_args(['a.pth', 'b.pth']).key
        'model'
    """
    parser = cli.make_parser(
        f'Convert a checkpoint of {source} to the names of {target} in an '
        'ImageClassifier.',
        tool,
        'original.pth checkpoints/converted.pth',
        folder='model_converters',
    )
    parser.add_argument('src', help='original file, .pth or .safetensors')
    parser.add_argument(
        'dst',
        help="file to write: .pth, which init_cfg=dict(type='Pretrained') "
        'and load_from read, or .safetensors, which mmengine does not read: '
        'for tools/analysis and other libraries',
    )
    parser.add_argument(
        '--key',
        default=default_key,
        help='entry of the file that holds the weights (default: %(default)s)',
    )
    return parser


def convert_file(
    args: argparse.Namespace, convert: Callable[[Dict], 'Conversion']
) -> 'Conversion':
    """Read ``args.src``, convert it, write ``args.dst``, print what was done.

    Args:
        args (argparse.Namespace): What the parser of :func:`make_parser`
            returned.
        convert (Callable): From a state dict to a :class:`Conversion`.

    Returns:
        Conversion: What was written.

    Raises:
        ValueError: If the file cannot be converted; nothing is written.
        OSError: If it cannot be read or written.

    Examples:
        >>> args = make_parser('DeiT', 'deit').parse_args(['a.pth', 'b.pth'])
        >>> convert_file(args, dict)
        Traceback (most recent call last):
        ...
        FileNotFoundError: checkpoint not found: 'a.pth'
    """
    from mask_plugins.models.converters.files import (
        read_weights,
        write_checkpoint,
    )

    if os.path.abspath(args.src) == os.path.abspath(args.dst):
        raise ValueError(f'dst would overwrite src, {args.src!r}')
    weights = read_weights(args.src, args.key)
    try:
        result = convert(weights)
    except ValueError as error:
        raise ValueError(f'{args.src!r}: {error}') from error
    meta = dict(source=os.path.basename(args.src), backbone=result.backbone)
    write_checkpoint(args.dst, result.state_dict, meta)
    _print_conversion(result)
    print(f'wrote {len(result.state_dict)} tensors to {args.dst}')
    print('backbone that they fit:')
    for name, value in result.backbone.items():
        print(f'    {name}={value!r},')
    return result


def _print_conversion(result: 'Conversion') -> None:
    """Print which keys became which, the blocks of the network as one row."""
    from rich.console import Console
    from rich.table import Table

    table = Table('original', 'becomes', 'keys')
    dropped = [(key, f'(dropped: {why})') for key, why in result.dropped]
    number = re.compile(r'\b(blocks|layers|resblocks)\.\d+\.')
    for pairs in (result.mapped, dropped):
        rows = Counter(
            tuple(number.sub(r'\1.*.', text, count=1) for text in pair)
            for pair in pairs
        )
        for row, count in rows.items():
            table.add_row(*row, str(count))
        table.add_section()
    Console(width=max(100, Console().width)).print(table)
