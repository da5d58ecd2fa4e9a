# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Few labels: a random part of a dataset, the same in every run."""

import re
from typing import Any, Union

import numpy as np
import torch

from mask_plugins.registry import DATASETS
from mask_plugins.utils.checks import check_bool, check_int, check_ratio

from .subset import Subset, labels_of


@DATASETS.register_module()
class SubsetByRandperm(Subset):
    """The first samples of a seeded random permutation.

    The label subsets of Self-Masking Networks: uniform over the dataset, and
    a function of its length and the seed alone. In a config::

        dataset=dict(type='mask_plugins.SubsetByRandperm', size='10p',
                     dataset=dict(type='CIFAR10', ...))

    Args:
        dataset (dict | BaseDataset): The dataset, or another wrapper.
        size (int | float | str): A number of samples; a share in (0, 1) as
            float; or percent as ``'10p'``, ``'.25p'``. Shares are rounded
            down.
        seed (int): Of the permutation; unlike the run's own it should not
            vary between runs that are compared. Defaults to 42.
        balanced (bool): Whether every class gets equally many, size // number
            of classes. Defaults to False.
        lazy_init (bool): Whether to read annotations later. Defaults to
            False.

    Raises:
        TypeError: If ``size`` is none of these.
        ValueError: If no sample is left, there are fewer than asked for, or
            fewer of a class.

    Examples:
        >>> digits = dict(type='mask_plugins.Digits')
        >>> len(SubsetByRandperm(digits, size='10p'))
        143
    """

    def __init__(
        self,
        dataset: Any,
        size: Union[int, float, str],
        seed: int = 42,
        balanced: bool = False,
        lazy_init: bool = False,
    ) -> None:
        self.size = size
        self._check_size()
        self.seed = check_int('seed', seed, 0)
        self.balanced = check_bool('balanced', balanced)
        super().__init__(dataset, lazy_init)

    def _check_size(self) -> None:
        size = self.size
        if isinstance(size, str):
            percent = re.fullmatch(r'(\d*\.?\d+)p', size)
            if not percent or not 0 < float(percent[1]) <= 100:
                raise ValueError(
                    f'size must be percent as in 10p, got {size!r}'
                )
        elif isinstance(size, float):
            check_ratio('size', size, '()')
        else:
            check_int('size, if not a share or percent,', size, 1)

    def count(self, total: int) -> int:
        """How many of ``total`` samples are taken."""
        if isinstance(self.size, str):
            return int(total * float(self.size[:-1]) / 100)
        return int(total * self.size) if self.size < 1 else self.size

    def choose(self) -> np.ndarray:
        """See :class:`Subset`."""
        total = len(self.dataset)
        count = self.count(total)
        check_int(f'size={self.size!r} of {total} samples', count, 1, total)
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(total, generator=generator).numpy()
        if not self.balanced:
            return order[:count]
        labels = labels_of(self.dataset)[order]
        places = [np.flatnonzero(labels == label) for label in set(labels)]
        each, most = count // len(places), min(map(len, places))
        name = f'size={self.size!r} with balanced=True, per class,'
        check_int(name, each, 1, most)
        return order[np.sort(np.concatenate([p[:each] for p in places]))]
