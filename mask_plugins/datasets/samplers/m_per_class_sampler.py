# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Batches with several images of each of their classes."""

import math
from itertools import islice
from typing import Iterator, Optional, Sized

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mask_plugins.datasets.subset import labels_of
from mask_plugins.registry import DATA_SAMPLERS
from mask_plugins.utils.checks import check_int


@DATA_SAMPLERS.register_module()
class MPerClassSampler(Sampler):
    """Groups of m images of a class, classes in a random order.

    A batch of P x m images then has P different classes, where there are so
    many, which pair and triplet losses need. Classes take turns, so each is
    drawn equally often, whatever its number of images; those of a class are
    all drawn before one is drawn again. A pass has as many draws as the
    dataset has images, rounded down to whole groups on each rank.

    The order is a function of seed and epoch, so a run resumes exactly.

    Args:
        dataset (Sized): Each sample has exactly one class.
        samples_per_class (int): m. The batch size should be a multiple.
            Defaults to 4.
        seed (int, optional): Shared by all ranks. Defaults to None.

    Raises:
        ValueError: If m is below 1, or the dataset is too small for a group
            on each rank.

    Examples:
        >>> sampler = dict(
        ...     type='mask_plugins.MPerClassSampler', samples_per_class=2
        ... )
        >>> DATA_SAMPLERS.get(sampler['type']).__name__
        'MPerClassSampler'
    """

    def __init__(
        self,
        dataset: Sized,
        samples_per_class: int = 4,
        seed: Optional[int] = None,
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        labels = torch.as_tensor(labels_of(dataset))
        most = len(labels) // self.world_size  # a group on each rank
        check_int('samples_per_class', samples_per_class, 1, most)
        self.samples_per_class = samples_per_class
        self.groups = most // samples_per_class
        self.members = [
            (labels == label).nonzero()[:, 0] for label in labels.unique()
        ]
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        total = self.groups * self.world_size
        turns = math.ceil(total / len(self.members))
        count = turns * self.samples_per_class
        classes = torch.arange(len(self.members))
        order = _endless(classes, total, generator)
        drawn = [
            iter(_endless(members, count, generator).tolist())
            for members in self.members
        ]
        for number, label in enumerate(order.tolist()):
            group = list(islice(drawn[label], self.samples_per_class))
            if number % self.world_size == self.rank:
                yield from group

    def __len__(self) -> int:
        return self.groups * self.samples_per_class

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch


def _endless(
    members: torch.Tensor, count: int, generator: torch.Generator
) -> torch.Tensor:
    """So many draws: one random order of the members after the other."""
    orders = [
        members[torch.randperm(len(members), generator=generator)]
        for _ in range(math.ceil(count / len(members)))
    ]
    return torch.cat(orders)[:count]
