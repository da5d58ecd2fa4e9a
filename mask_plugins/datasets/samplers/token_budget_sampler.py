# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Batches that grow as tokens are dropped."""

import math
from bisect import bisect_right
from itertools import count, islice
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

from mmengine.dataset import InfiniteSampler
from torch.utils.data import BatchSampler, Sampler

from mask_plugins.registry import DATA_SAMPLERS
from mask_plugins.utils.checks import check_int


class BudgetStep(NamedTuple):
    """One batch, and where it is in the run.

    Args:
        position (int): Full batches that the images before it would fill.
        advance (int): How much further the position is after it.
        size (int): Images of the batch.
    """

    position: int
    advance: int
    size: int


@DATA_SAMPLERS.register_module()
class TokenBudgetSampler(Sampler):
    """A batch sampler whose batches all cost about the same.

    ``mask_plugins.PSSHook(batch='budget')`` says what the sizes are. Without
    it all batches have ``batch_size`` images, as with the stock sampler.

    The size of a batch is a function of its *position*: the images that were
    fed before it, counted in full batches of ``batch_size``, over the whole
    run. An epoch is as many full batches long as without a budget, so the
    position says how far the training is, and does not depend on how many
    batches there are. Hence data workers may prefetch, a resumed run may skip
    batches, and ranks, whose shares of the data are of one length, agree,
    without a word about sizes between them.

    A pass feeds each image of the inner sampler once; its last batch is what
    is left. ``len()`` is the number of batches of the present pass.

    Args:
        sampler (Sampler): Order of the images. The Runner gives it.
        batch_size (int): Images at drop ratio 0. The Runner gives it, from
            ``train_dataloader.batch_size``.
        max_batch_size (int): Upper bound of the images of a batch; 0 for
            none. Defaults to 0.

    Raises:
        ValueError: If ``max_batch_size`` is less than ``batch_size``.

    Examples:
        >>> sampler = TokenBudgetSampler(range(10), batch_size=2)
        >>> sampler.follow(lambda position: 4 if position < 2 else 2)
        >>> list(sampler), len(sampler)
        ([[0, 1, 2, 3], [4, 5], [6, 7], [8, 9]], 4)
    """

    def __init__(
        self, sampler: Sampler, batch_size: int, max_batch_size: int = 0
    ) -> None:
        self.sampler = sampler
        self.batch_size = check_int('batch_size', batch_size, low=1)
        if max_batch_size != 0:
            check_int('max_batch_size', max_batch_size, low=batch_size)
        self.max_batch_size = max_batch_size
        self._endless = isinstance(sampler, InfiniteSampler)
        self._epoch = 0
        self._size_at: Optional[Callable[[int], int]] = None
        self._begins = [(0, 0)]
        self._positions: Tuple[int, List[int]] = (-1, [])
        self.length: Optional[int] = None

    def follow(
        self, size_at: Callable[[int], int], length: Optional[int] = None
    ) -> None:
        """Say what the sizes are.

        Args:
            size_at (Callable[[int], int]): The images of a batch by its
                position; at least ``batch_size``.
            length (int, optional): Full batches of the run, for others who
                ask this sampler. Defaults to None.
        """
        self._size_at, self.length = size_at, length
        # Of each pass: batches, and images of an endless pass, before it.
        self._begins, self._positions = [(0, 0)], (-1, [])

    # --------------------------------------------------------------- a pass
    @property
    def full_batches(self) -> int:
        """Batches of a pass at drop ratio 0."""
        return math.ceil(len(self.sampler) / self.batch_size)

    @property
    def epoch(self) -> int:
        """The pass that is fed."""
        return getattr(self.sampler, 'epoch', self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the next pass."""
        self._epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)

    def steps(self, epoch: int, fed: int = 0) -> Iterator[BudgetStep]:
        """The batches of a pass, without an end if the sampler has none.

        Args:
            epoch (int): The pass; 0 if it has no end.
            fed (int): Images of it that were fed. Defaults to 0.
        """
        begin = epoch * self.full_batches
        images = math.inf if self._endless else len(self.sampler)
        while fed < images:
            position = begin + fed // self.batch_size
            size = self.batch_size
            if self._size_at is not None:
                size = self._size_at(position)
            size = min(size, images - fed)
            fed += size
            after = begin + math.ceil(fed / self.batch_size)
            if fed < images:
                after = begin + fed // self.batch_size
            yield BudgetStep(position, after - position, size)

    def __iter__(self) -> Iterator[List[int]]:
        if self._size_at is None:
            yield from BatchSampler(self.sampler, self.batch_size, False)
            return
        order = iter(self.sampler)
        for step in self.steps(self.epoch):
            yield list(islice(order, step.size))

    def __len__(self) -> int:
        if self._size_at is None or self._endless:
            return self.full_batches
        return self.first_step(self.epoch + 1) - self.first_step(self.epoch)

    # ---------------------------------------------------------- all passes
    def all_steps(self, epoch: int = 0) -> Iterator[BudgetStep]:
        """The batches of a pass and of all that follow it."""
        if self._endless:
            self.first_step(epoch)
            yield from self.steps(0, self._begins[epoch][1])
        for number in count(epoch):
            yield from self.steps(number)

    def first_step(self, epoch: int) -> int:
        """How many batches there are before a pass.

        Of a sampler without an end, passes are counted by the position.
        """
        if self._size_at is None:
            return epoch * self.full_batches
        while len(self._begins) <= epoch:
            number, (before, fed) = len(self._begins), self._begins[-1]
            end = number * self.full_batches
            for step in self.all_steps(number - 1):
                if step.position >= end:
                    break
                before, fed = before + 1, fed + step.size
            self._begins.append((before, fed))
        return self._begins[epoch][0]

    def locate(self, step: int) -> Tuple[int, int]:
        """The pass of a batch, and its number there.

        Args:
            step (int): Batches before it, over the whole run.
        """
        if self._size_at is None:
            return divmod(step, self.full_batches)
        while self._begins[-1][0] <= step:
            self.first_step(len(self._begins))
        epoch = bisect_right(self._begins, (step, math.inf)) - 1
        return epoch, step - self._begins[epoch][0]

    def position(self, step: int) -> int:
        """Full batches that the images before a batch would fill."""
        if self._size_at is None:
            return step
        epoch, index = self.locate(step)
        if self._positions[0] != epoch:
            length = self.first_step(epoch + 1) - self.first_step(epoch)
            steps = islice(self.all_steps(epoch), length)
            self._positions = epoch, [step.position for step in steps]
        return self._positions[1][index]
