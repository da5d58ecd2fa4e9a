# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Hold a few images of every class out of a training set."""

from typing import Any

import numpy as np
import torch

from mask_plugins.registry import DATASETS
from mask_plugins.utils.checks import check_choice, check_int

from .subset import Subset, labels_of


@DATASETS.register_module()
class StratifiedSplit(Subset):
    """One of two parts of a labeled dataset that both have all classes.

    In a config: ``dataset=dict(type='mask_plugins.StratifiedSplit',
    part='train', val_per_class=500, dataset=dict(type='CIFAR10', ...))``. The
    parts are a function of the seed alone; both keep the order of the dataset.

    Args:
        dataset (dict | BaseDataset): A dataset of single labels.
        part (str): ``'train'`` or ``'val'``.
        val_per_class (int): Images of every class that are held out.
        seed (int): Seed of the choice. Defaults to 0.
        lazy_init (bool): Whether to read annotations later. Defaults to
            False.

    Raises:
        TypeError: If ``val_per_class`` or ``seed`` is not an int.
        ValueError: If ``part`` is unknown, or a class has too few images.

    Examples:
        >>> digits = dict(type='mask_plugins.Digits')
        >>> len(StratifiedSplit(digits, part='val', val_per_class=5))
        50
    """

    def __init__(
        self,
        dataset: Any,
        part: str,
        val_per_class: int,
        seed: int = 0,
        lazy_init: bool = False,
    ) -> None:
        self.part = check_choice('part', part, ('train', 'val'))
        self.val_per_class = check_int('val_per_class', val_per_class, 1)
        self.seed = check_int('seed', seed, 0)
        super().__init__(dataset, lazy_init)

    def choose(self) -> np.ndarray:
        """See :class:`Subset`."""
        labels = labels_of(self.dataset)
        generator = torch.Generator().manual_seed(self.seed)
        held_out = np.zeros(len(labels), dtype=bool)
        for label in np.unique(labels):
            places = np.flatnonzero(labels == label)
            name = f'val_per_class of class {label}'
            check_int(name, self.val_per_class, 1, len(places) - 1)
            order = torch.randperm(len(places), generator=generator).numpy()
            held_out[places[order[: self.val_per_class]]] = True
        wanted = held_out if self.part == 'val' else ~held_out
        return np.flatnonzero(wanted)
