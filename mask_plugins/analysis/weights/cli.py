# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the tools of weight masks have in common on the command line."""

import argparse
import os.path as osp
from functools import partial
from typing import TYPE_CHECKING, Any, Dict, List, Sequence

from .. import cli

if TYPE_CHECKING:  # torch, which `--help` does not need
    from mask_plugins.core.weights import MaskReport

    from .stock_config import StockCheckpoint

CHECKPOINTS = ('.pth', '.safetensors')


make_parser = partial(cli.make_parser, folder='weights')


def add_file_argument(
    parser: argparse.ArgumentParser, what: str, default: str
) -> None:
    """Add ``--out`` of a tool that writes one file.

    Args:
        parser (argparse.ArgumentParser): Changed in place.
        what (str): What is written, in words.
        default (str): What ``--out`` is by default, in words.
    """
    parser.add_argument(
        '--out', metavar='FILE', help=f'{what} (default: {default})'
    )


def add_pattern_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--pattern``, what tickets are projected to.

    Args:
        parser (argparse.ArgumentParser): Changed in place.
    """
    parser.add_argument(
        '--pattern',
        choices=('unstructured', '2:4'),
        default='unstructured',
        help='2:4: of soft masks keep the two highest of each four inputs '
        '(default: what their logits keep)',
    )


def output_file(
    out: str,
    endings: Sequence[str],
    companions: Sequence[str],
    inputs: Sequence[str],
) -> str:
    """``--out``, checked: what is read must not be overwritten.

    Args:
        out (str): The file.
        endings (Sequence[str]): How it may end.
        companions (Sequence[str]): Endings of files written next to it.
        inputs (Sequence[str]): What is read.

    Returns:
        str: ``out``.

    Raises:
        IsADirectoryError: If it is a folder.
        ValueError: If the ending is another, or it or a companion is
            one of the inputs.
    """
    stem, ending = osp.splitext(out)
    if osp.isdir(out):
        raise IsADirectoryError(f'--out {out} is a folder, not a file')
    if ending not in endings:
        raise ValueError(
            f'--out must end in {" or ".join(endings)}, got {out!r}'
        )
    read = {osp.realpath(path) for path in inputs}
    for path in (out, *(stem + other for other in companions)):
        if osp.realpath(path) in read:
            raise ValueError(
                f'--out {out}: {path} would be overwritten, which is read; '
                'choose another name'
            )
    return out


def stem_of(path: str) -> str:
    """A path without its ending."""
    return osp.splitext(path)[0]


def print_report(report: 'MaskReport', title: str) -> None:
    """Print what each mask keeps, as a table."""
    print(f'{title}\n{report}')
    if report.parameters > report.size:
        print(
            f'of all {report.parameters:,} parameters '
            f'{percent(report.density_of_model)} % are kept'
        )


SIZE_COLUMNS = ('what', 'bytes', 'times smaller')


def size_cells(rows: Sequence[Dict[str, Any]]) -> List[List[Any]]:
    """The rows of ``measure_sizes`` under :data:`SIZE_COLUMNS`."""
    cells = []
    for row in rows:
        times = row['times_smaller']
        times = None if times is None else f'{times:.1f}'
        cells.append([row['name'], f'{row["bytes"]:,}', times])
    return cells


def print_sizes(rows: Sequence[Dict[str, Any]]) -> None:
    """Print the rows of ``measure_sizes``."""
    cli.print_table(SIZE_COLUMNS, size_cells(rows))


def print_notes(notes: Sequence[str]) -> None:
    """Print notes, one a line."""
    for note in notes:
        print(f'note: {note}')


def percent(share: float) -> str:
    """A share in %, with two decimals, or more where it is small."""
    value = 100 * share
    return f'{value:.2f}' if value >= 1 or not value else f'{value:.3g}'


def print_baked(baked: 'StockCheckpoint') -> None:
    """Print what was baked in, and notes."""
    print_report(baked.masks, 'masks that are baked in')
    print_notes(baked.report['notes'])


def print_use(baked: 'StockCheckpoint', path: str) -> None:
    """Say how the written checkpoint is tested, and what that needs."""
    config = f'{stem_of(path)}.py'
    if baked.stock.needs:
        print('its config still needs mask_plugins, for')
        for need in baked.stock.needs:
            print(f'  {need}')
    package = baked.stock.cfg.get('default_scope', 'mmpretrain')
    package = 'mask_plugins' if baked.stock.needs else package
    if path.endswith('.pth'):
        print(f'test it: mim test {package} {config} --checkpoint {path}')


def short_paths(paths: Sequence[str]) -> List[str]:
    """Names of files: as short as they differ.

    Args:
        paths (Sequence[str]): The files.

    Returns:
        list[str]: The stems, with as many folders as it takes.

    Raises:
        ValueError: If a file is there twice.
    """
    parts = [osp.abspath(stem_of(path)).split(osp.sep) for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = [osp.join(*part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f'a file is given twice: {", ".join(paths)}')


def print_overlap(overlap: Dict[str, Any], layers: bool) -> None:
    """Print what ``compare_adapters`` returned.

    Args:
        overlap (dict): The overlap.
        layers (bool): Whether the layers are printed too.
    """
    columns = ['masks', 'density [%]', 'agreement', 'kept', 'removed', 'z']
    rows: List[Sequence[Any]] = []
    for pair in overlap['pairs']:
        title = f'{pair["a"]}, {pair["b"]}'
        rows.append([title, *_overlap_cells(pair['total'])])
        for layer in pair['layers'] if layers else ():
            rows.append([f'  {layer["name"]}', *_overlap_cells(layer)])
    cli.print_table(
        columns,
        rows,
        'Agreement, Jaccard index of what is kept and removed; in brackets '
        'those of independent masks',
    )


def _overlap_cells(row: Dict[str, Any]) -> List[str]:
    densities = [percent(row[f'kept_{x}'] / row['size']) for x in 'ab']
    cells = [', '.join(densities)]
    for key in ('agreement', 'jaccard_kept', 'jaccard_removed'):
        found, expected = row[key], row[f'expected_{key}']
        cells.append('-' if found is None else f'{found:.3f} ({expected:.3f})')
    return [*cells, '-' if row['z'] is None else f'{row["z"]:.1f}']
