# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One progress display for all tools."""

import sys
import time
from typing import Iterable, Iterator, Optional, TypeVar

T = TypeVar('T')
SECONDS_BETWEEN_LINES = 5.0


def track(
    items: Iterable[T], what: str, total: Optional[int] = None
) -> Iterator[T]:
    """Go through ``items`` and show how far it is, on stderr.

    A bar on a terminal; plain lines in a file or a pipe, one at the end and
    at most one every five seconds before it.

    Args:
        items (Iterable): What to go through.
        what (str): Name of the work, with the unit of an item.
        total (int, optional): Number of items; None asks ``len(items)``.
            Defaults to None.

    Yields:
        The items.

    Examples:
        >>> list(track([1, 2], 'runs'))
        [1, 2]
    """
    total = len(items) if total is None else total
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as rich_track

        console = Console(stderr=True)
        yield from rich_track(items, what, total, console=console)
        return
    start = said = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if done == total or now - said >= SECONDS_BETWEEN_LINES:
            said = now
            line = f'{what}: {done}/{total}, {now - start:.0f} s'
            print(line, file=sys.stderr, flush=True)
