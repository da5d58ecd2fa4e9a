# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Begin in the middle of a pass, without loading what lies before."""

import itertools
from typing import Any, Iterator, List

from torch.utils.data import DataLoader, IterableDataset, Sampler


class ResumableBatchSampler(Sampler):
    """A batch sampler whose next pass may begin some batches later.

    The batches before are drawn from the sampler, which costs nanoseconds per
    index, but no worker ever sees them: nothing is loaded or augmented. What
    comes after is what an uninterrupted pass would have had, whatever the
    sampler inside does (shuffling, repeated augmentation, endless rounds,
    batches by aspect ratio), since it draws from its first index on.

    Args:
        batch_sampler (Sampler): The batch sampler; its attributes are looked
            through to.

    Examples:
        >>> sampler = ResumableBatchSampler([[0, 1], [2, 3], [4, 5]])
        >>> sampler.skip_next(2)
        >>> list(sampler), len(list(sampler))
        ([[4, 5]], 3)
    """

    def __init__(self, batch_sampler: Any) -> None:
        self.batch_sampler = batch_sampler
        self._skip = 0

    def skip_next(self, batches: int) -> None:
        """Leave out so many batches at the start of the next pass only."""
        self._skip = batches

    def __iter__(self) -> Iterator[List[int]]:
        # A generator: torch makes two iterators and draws from the second.
        skip, self._skip = self._skip, 0
        yield from itertools.islice(self.batch_sampler, skip, None)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __getattr__(self, name: str) -> Any:
        if name == 'batch_sampler':  # not set yet: being unpickled
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)


def skip_batches(loader: DataLoader, batches: int) -> bool:
    """Have the next pass over a loader begin so many batches later.

    Args:
        loader (DataLoader): The loader; a pass of it must not be under way.
        batches (int): How many were trained already.

    Returns:
        bool: False if the loader has no sampler that could skip (an iterable
        dataset, or samples that are not batched); it is left as it was.

    Examples:
        >>> loader = DataLoader(range(6), batch_size=2)
        >>> skip_batches(loader, 2), [batch.tolist() for batch in loader]
        (True, [[4, 5]])
    """
    if batches == 0:
        return True
    sampler = loader.batch_sampler
    if sampler is None or isinstance(loader.dataset, IterableDataset):
        return False
    if not isinstance(sampler, ResumableBatchSampler):
        sampler = ResumableBatchSampler(sampler)
        # A DataLoader refuses a new batch sampler, because its length and
        # batch size could change. This one keeps both.
        object.__setattr__(loader, 'batch_sampler', sampler)
    # Persistent workers keep their iterator, and that keeps the sampler.
    if loader._iterator is not None:
        loader._iterator._index_sampler = sampler
    sampler.skip_next(batches)
    return True
