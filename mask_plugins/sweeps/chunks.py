# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Runs of a sweep, as arrays that a cluster takes."""

from typing import List, NamedTuple, Optional, Sequence


class Chunk(NamedTuple):
    """One array: task ``t`` trains the runs from ``(t + offset) * pack`` on.

    Args:
        indices (list[int]): The runs.
        offset (int): What is added to the number of a task. Defaults to 0.
        pack (int): How many runs a task trains, one after the other.
            Defaults to 1.

    Examples:
        >>> Chunk([10, 11, 12, 15], offset=2, pack=4).tasks
        [0, 1]
    """

    indices: List[int]
    offset: int = 0
    pack: int = 1

    def task(self, index: int) -> int:
        """The number of the task that trains a run."""
        return index // self.pack - self.offset

    @property
    def tasks(self) -> List[int]:
        """The numbers of all tasks."""
        return sorted({self.task(index) for index in self.indices})


def split(
    indices: Sequence[int],
    pack: int = 1,
    array_limit: Optional[int] = None,
    room: Optional[int] = None,
) -> List[Chunk]:
    """Split runs into arrays.

    Args:
        indices (Sequence[int]): The runs.
        pack (int): How many a task trains. Defaults to 1.
        array_limit (int, optional): MaxArraySize: the number of a task is
            below it. None for no limit.
        room (int, optional): How many tasks may be submitted in all; the runs
            of others are left out. None for no limit.

    Examples:
        >>> [chunk.tasks for chunk in split(range(13), array_limit=5)]
        [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2]]
        >>> [chunk.indices for chunk in split(range(13), pack=3, room=2)]
        [[0, 1, 2, 3, 4, 5]]
    """
    kept = sorted({index // pack for index in indices})[:room]
    size = array_limit or max(kept, default=0) + 1
    found = {}
    for index in sorted(indices):
        task = index // pack
        if kept and task <= kept[-1]:
            offset = task // size * size
            found.setdefault(offset, []).append(index)
    return [Chunk(chunk, at, pack) for at, chunk in found.items()]
