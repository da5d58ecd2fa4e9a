# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tables in Markdown."""

from typing import Iterable, List, Sequence


def markdown_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], text: int = 1
) -> List[str]:
    """The lines of a table; the first columns are text, the others numbers.

    Args:
        columns (Sequence[str]): Their names.
        rows (Iterable[Sequence[str]]): The cells.
        text (int): How many columns are text. Defaults to 1.

    Examples:
        >>> markdown_table(['run', 'acc1'], [['a', '98.1']])
        ['| run | acc1 |', '| --- | ---: |', '| a | 98.1 |']
    """
    ruler = ['---'] * text + ['---:'] * (len(columns) - text)
    return [f'| {" | ".join(row)} |' for row in (columns, ruler, *rows)]
