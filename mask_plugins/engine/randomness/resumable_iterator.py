# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""An endless iterator over a data loader that knows its passes."""

from typing import Any, Callable, Iterator, Optional

from torch.utils.data import DataLoader

from mask_plugins.datasets.samplers import locate_step, skip_batches


class PassIterator:
    """What ``IterBasedTrainLoop`` draws its batches from.

    mmengine's own iterator starts its workers when the loop is built, before
    a resumed run knows its seed, and starts the next pass without telling
    anyone. This one starts at the first batch that is asked for and calls
    ``start_pass`` before each pass, while no worker is loading.

    A resumed loop asks for all batches that have been trained, to throw them
    away. It gets None for each, and the sampler skips them.

    Args:
        dataloader (DataLoader): The loader.
        start_pass (Callable): Called with the number of the pass.
        done (int): Batches that have been trained. Defaults to 0.
        finite (bool): Whether a pass ends, so that the loader's length is
            that of a pass. Defaults to True.

    Examples:
        >>> loader, passes = DataLoader(range(2)), []
        >>> iterator = PassIterator(loader, passes.append)
        >>> [int(next(iterator)) for _ in range(5)], passes
        ([0, 1, 0, 1, 0], [0, 1, 2])
        >>> resumed = PassIterator(loader, passes.append, done=3)
        >>> resumed.skip_iter(3)
        >>> int(next(resumed))
        1
    """

    def __init__(
        self,
        dataloader: DataLoader,
        start_pass: Callable[[int], None],
        done: int = 0,
        finite: bool = True,
    ) -> None:
        self._dataloader = dataloader
        self._start_pass = start_pass
        self._pass, self._done = 0, done
        if finite:
            self._pass, self._done = locate_step(dataloader, done)
        self._skip = done
        self._iterator: Optional[Iterator] = None

    def __iter__(self) -> 'PassIterator':
        return self

    def __next__(self) -> Any:
        if self._skip:
            self._skip -= 1
            return None
        if self._iterator is None:
            by_sampler = skip_batches(self._dataloader, self._done)
            self._start()
            # Otherwise they must be loaded to get past them.
            for _ in range(0 if by_sampler else self._done):
                next(self._iterator)
        try:
            return next(self._iterator)
        except StopIteration:
            self._pass += 1
            self._start()
            return next(self._iterator)

    def skip_iter(self, steps: int) -> None:
        """Throw batches away, as newer mmengine (OneDL's) asks for at once."""
        for _ in range(steps):
            next(self)

    def _start(self) -> None:
        self._start_pass(self._pass)
        self._iterator = iter(self._dataloader)
