# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The index of a sample that knows which draw of the sampler it is."""


class Draw(int):
    """An index into a dataset, with the number of the draw.

    It is an int everywhere; only :class:`mask_plugins.SeedSample` looks at
    the number. Being the index itself, it reaches the right worker with any
    prefetching. Subtraction and modulo keep the number, so it survives
    :class:`mmengine.dataset.ConcatDataset` and
    :class:`mmengine.dataset.RepeatDataset`, which compute the index of the
    inner dataset that way.

    Args:
        index (int): The index.
        number (int): Number of the draw in the pass, over all ranks.
            Defaults to 0.

    Examples:
        >>> draw = Draw(7, number=3)
        >>> draw == 7, (draw - 5).number
        (True, 3)
    """

    number: int

    def __new__(cls, index: int, number: int = 0) -> 'Draw':
        """An int is made here, not in ``__init__``."""
        self = super().__new__(cls, index)
        self.number = number
        return self

    def __sub__(self, other: int) -> 'Draw':
        return Draw(int(self) - other, self.number)

    def __mod__(self, other: int) -> 'Draw':
        return Draw(int(self) % other, self.number)
