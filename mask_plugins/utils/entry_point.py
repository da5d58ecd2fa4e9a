# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How tools and demos run."""

import sys
from contextlib import contextmanager
from typing import Iterator, Type

from .known_warnings import hide_known_warnings


@contextmanager
def entry_point(*also: Type[Exception]) -> Iterator[None]:
    """Errors of the input become one line and exit code 1.

    Warnings of other packages that nobody can act on are not shown. For the
    ``main`` of a script, ``@entry_point()``, or a block.

    Args:
        *also (type): Errors that are of the input too, besides
            ``ValueError`` and ``OSError``.

    Examples:
        >>> with entry_point():
        ...     raise ValueError('k must be positive')
        Traceback (most recent call last):
        ...
        SystemExit: error: k must be positive
    """
    hide_known_warnings()
    try:
        yield
    except (ValueError, OSError, *also) as error:
        sys.exit(f'error: {error}')
