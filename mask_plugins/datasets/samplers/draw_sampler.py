# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Number the draws of a sampler."""

from typing import Any, Iterator

from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from .draw import Draw


class DrawSampler(Sampler):
    """Yield the indices of a sampler as :class:`Draw`.

    A sampler may draw a sample more than once in a pass: mmpretrain's
    ``RepeatAugSampler`` on purpose, mmengine's ``InfiniteSampler`` once per
    round. The number of the draw, counted over all ranks, tells them apart.

    Args:
        sampler (Sampler): The sampler; its attributes are looked through to.

    Examples:
        >>> [draw.number for draw in DrawSampler([5, 5, 2])]
        [0, 1, 2]
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    def __iter__(self) -> Iterator[Draw]:
        rank, world_size = get_dist_info()
        for position, index in enumerate(self.sampler):
            yield Draw(index, position * world_size + rank)

    def __len__(self) -> int:
        return len(self.sampler)

    def __getattr__(self, name: str) -> Any:
        if name == 'sampler':  # not set yet: being unpickled
            raise AttributeError(name)
        return getattr(self.sampler, name)
