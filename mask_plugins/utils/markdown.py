# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tables in Markdown."""

from typing import Iterable, List, Sequence


def markdown_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> List[str]:
    """The lines of a table; the first column is text, the others numbers.

    Args:
        columns (Sequence[str]): Their names.
        rows (Iterable[Sequence[str]]): The cells.

    Examples:
        >>> markdown_table(['run', 'acc1'], [['a', '98.1']])
        ['| run | acc1 |', '| --- | ---: |', '| a | 98.1 |']
    """
    ruler = ['---', *['---:'] * (len(columns) - 1)]
    return [f'| {" | ".join(row)} |' for row in (columns, ruler, *rows)]
