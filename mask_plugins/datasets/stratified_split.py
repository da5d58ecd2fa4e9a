# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Hold a few images of every class out of a training set."""

from collections import defaultdict
from typing import Dict, List, Union

import torch
from mmengine.dataset import BaseDataset

from mask_plugins.registry import DATASETS


@DATASETS.register_module(name='StratifiedSplit')
def build_stratified_split(
    dataset: Union[dict, BaseDataset],
    part: str,
    val_per_class: int,
    seed: int = 0,
) -> BaseDataset:
    """Split a labelled dataset into two that have all classes.

    In a config: ``dataset=dict(type='mask_plugins.StratifiedSplit',
    part='train', val_per_class=500, dataset=dict(type='CIFAR10', ...))``. The
    two parts are a function of the seed alone; both keep the order of the
    dataset.

    Args:
        dataset (dict | BaseDataset): A dataset of single labels; its pipeline
            is that of the part.
        part (str): ``'train'`` or ``'val'``.
        val_per_class (int): Images of every class that are held out.
        seed (int): Seed of the choice. Defaults to 0.

    Returns:
        BaseDataset: A subset of the dataset itself, not a wrapper around it.

    Raises:
        ValueError: If ``part`` is unknown, or a class has too few images.
    """
    if part not in ('train', 'val'):
        raise ValueError(f"part must be 'train' or 'val', got {part!r}")
    if isinstance(val_per_class, bool) or not isinstance(val_per_class, int):
        raise TypeError(f'val_per_class must be an int, got {val_per_class!r}')
    if isinstance(dataset, dict):
        dataset = DATASETS.build(dataset)
    dataset.full_init()
    by_class: Dict[int, List[int]] = defaultdict(list)
    for index in range(len(dataset)):
        by_class[int(dataset.get_data_info(index)['gt_label'])].append(index)
    generator = torch.Generator().manual_seed(seed)
    chosen: List[int] = []
    for label, indices in sorted(by_class.items()):
        if not 0 < val_per_class < len(indices):
            raise ValueError(
                f'val_per_class must be at least 1 and less than the '
                f'{len(indices)} images of class {label}, got {val_per_class}'
            )
        order = torch.randperm(len(indices), generator=generator).tolist()
        held_out = order[:val_per_class]
        kept = held_out if part == 'val' else order[val_per_class:]
        chosen += [indices[i] for i in kept]
    return dataset.get_subset(sorted(chosen))
