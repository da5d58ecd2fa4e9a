# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tables on the screen, and where results were written."""

from typing import TYPE_CHECKING, Any, Collection, Iterable, Sequence

if TYPE_CHECKING:  # not needed for `--help`
    from rich.table import Table


def make_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    right: Collection[int] = (),
) -> 'Table':
    """A table for :func:`show`.

    Args:
        columns (Sequence[str]): Names of the columns.
        rows (Iterable[Sequence]): The cells; None is shown as ``-``.
        right (Collection[int]): Columns of numbers. Defaults to none.

    Examples:
        >>> make_table(['run', 'acc1'], [['a', 98.1]], right=[1]).row_count
        1
    """
    from rich import box
    from rich.table import Table

    rows = [['-' if c is None else str(c) for c in row] for row in rows]
    table = Table(box=box.SIMPLE)
    for index, name in enumerate(columns):
        words = [word for row in rows for word in row[index].split()]
        table.add_column(
            name,
            justify='right' if index in right else 'left',
            overflow='fold',
            # Cells are broken between words, not inside.
            min_width=min(60, max(map(len, words), default=0)),
        )
    for row in rows:
        table.add_row(*row)
    return table


def show(part: Any) -> None:
    """Print a table; in a file or a pipe it is at least 120 wide.

    Examples:
        >>> show('three runs')
        three runs
    """
    from rich.console import Console

    console = Console()
    width = max(80, console.width if console.is_terminal else 120)
    Console(width=width, highlight=False).print(part)


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = ''
) -> None:
    """Print a table; the first column is text, the others are numbers.

    Examples:
        >>> rows = [['a', 98.1], ['b', None]]
        >>> print_table(  # doctest: +NORMALIZE_WHITESPACE
        ...     ['run', 'acc1'], rows, 'runs'
        ... )
        runs
        <BLANKLINE>
          run   acc1
         ────────────
          a     98.1
          b        -
        <BLANKLINE>
    """
    if title:  # rich would break it to the width of the table
        print(title)
    show(make_table(columns, rows, right=range(1, len(columns))))


def print_written(paths: Sequence[str]) -> None:
    """Say where the results are.

    Examples:
        >>> print_written(['a.png'])
        wrote a.png
    """
    for path in paths:
        print(f'wrote {path}')
