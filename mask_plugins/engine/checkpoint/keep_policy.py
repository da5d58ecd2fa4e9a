# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Which checkpoints of a run stay?"""

import re
from typing import List, NamedTuple, Sequence

_HOW = (
    "a comma-separated list of 'newest:N' (at least 1, the default), 'best' "
    "and 'every:K', such as 'newest:2,best,every:10'"
)


class KeepPolicy(NamedTuple):
    """Keep the newest n, every k-th, and the best.

    Args:
        newest (int): How many of the newest stay. Defaults to 1: a run
            without its newest checkpoint could not be resumed.
        best (bool): Whether the best one is kept too. Defaults to False.
        every (int): Those whose epoch (or iteration) is a multiple of it
            stay for good; 0 for none. Defaults to 0.

    Examples:
        >>> policy = KeepPolicy.parse('newest:2,every:3')
        >>> policy.outdated([1, 2, 3, 4, 5])
        [1, 2]
    """

    newest: int = 1
    best: bool = False
    every: int = 0

    @classmethod
    def parse(cls, text: str) -> 'KeepPolicy':
        """Read ``'newest:2,best,every:10'``.

        Raises:
            ValueError: If a part is unknown, repeated or not a number.
        """
        found = {}
        for part in str(text).split(','):
            match = re.fullmatch(
                r'\s*(?:(newest|every):0*([1-9]\d*)|(best))\s*', part
            )
            name = match and (match[1] or match[3])
            if not match or name in found:
                raise ValueError(f'keep must be {_HOW}, got {text!r}')
            found[name] = int(match[2]) if match[2] else True
        return cls(**found)

    def outdated(self, steps: Sequence[int]) -> List[int]:
        """The steps whose checkpoints may go; ``best`` is not among them.

        Args:
            steps (Sequence[int]): Epochs (or iterations), any order.
        """
        old = sorted(steps)[: -self.newest]
        return [i for i in old if not self.every or i % self.every]
