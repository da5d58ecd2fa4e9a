# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What keeps a data loader from being a function of (seed, epoch, place)?

The messages say what happens, and what to change.
"""

from typing import Any, Iterator, List, Tuple

from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from torch.utils.data import DataLoader, SequentialSampler

from mask_plugins.datasets.samplers import DrawSampler
from mask_plugins.datasets.subset import Subset
from mask_plugins.datasets.transforms import SeedSample
from mask_plugins.datasets.traverse import (
    pipeline_of,
    samplers_of,
    walk_datasets,
)

_FIRST = "Put dict(type='mask_plugins.SeedSample') first in the train pipeline"
_SAMPLER = (
    'which data order as a function of (seed, epoch) needs. '
    "Use sampler=dict(type='DefaultSampler', shuffle=True)"
)


def seed_samples_of(dataset: Any) -> List[SeedSample]:
    """Every SeedSample that a dataset applies, in a fixed order.

    Examples:
        >>> seed_samples_of(range(3))
        []
    """
    parts = [part for part, _ in walk_datasets(dataset)]
    transforms = [t for part in parts for t in pipeline_of(part)]
    return [t for t in transforms if isinstance(t, SeedSample)]


def seed_problems(loader: DataLoader, by_iter: bool) -> Iterator[str]:
    """Why a resumed run may differ, or draw what it should not.

    Args:
        loader (DataLoader): Of the training, as ``SeedHook`` has set it up.
        by_iter (bool): Whether an iteration loop draws from it.

    Yields:
        str: A message without its full stop.

    Examples:
        >>> for problem in seed_problems(DataLoader(range(3)), by_iter=True):
        ...     print(problem.partition(':')[0])
        an iteration loop without mask_plugins.SeedSample
    """
    for sampler in _leaves(loader):
        name = type(sampler).__name__
        if isinstance(sampler, SequentialSampler):
            continue
        if 'seed' not in vars(sampler):
            yield f'{name} has no attribute `seed`, {_SAMPLER}'
        elif not hasattr(sampler, 'set_epoch'):
            yield f'{name} has no method `set_epoch`, {_SAMPLER}'
    if seed_samples_of(loader.dataset):
        for dataset, wrappers in walk_datasets(loader.dataset):
            if pipeline_of(dataset):
                yield from _dataset_problems(loader, dataset, wrappers)
        return
    if loader.num_workers > 0:
        yield f'mmengine starts every worker with the same numbers. {_FIRST}'
    if loader.num_workers > 0 and loader.persistent_workers:
        yield f'{_FIRST}, or set persistent_workers=False'
    elif by_iter:
        yield f'an iteration loop without mask_plugins.SeedSample: {_FIRST}'


def _dataset_problems(
    loader: DataLoader, dataset: Any, wrappers: Tuple[Any, ...]
) -> Iterator[str]:
    name = type(dataset).__name__
    seeds = [isinstance(t, SeedSample) for t in pipeline_of(dataset)]
    if not any(seeds):
        if not seed_samples_of(dataset):
            yield f'the pipeline of {name} has no SeedSample. {_FIRST}'
        return
    if not seeds[0]:
        place = seeds.index(True)
        yield f'SeedSample is transform {place} of {name}. {_FIRST}'
    known = (ConcatDataset, RepeatDataset, Subset)
    lost = [type(w).__name__ for w in wrappers if not isinstance(w, known)]
    lost = [name for name in lost if name != '_SlicedDataset']
    repeats = any(isinstance(w, ClassBalancedDataset) for w in wrappers)
    sampler = getattr(loader.batch_sampler, 'sampler', None)
    if lost and (isinstance(sampler, DrawSampler) or repeats):
        names = ' and '.join(lost)
        yield f'{names} hides which draw of a sample it is: use a sampler'


def _leaves(loader: DataLoader) -> List[Any]:
    """The samplers that decide on the order, not those that wrap one."""
    wraps = {'sampler', 'batch_sampler'}
    inner = [s for s in samplers_of(loader) if not wraps & set(vars(s))]
    # With a batch sampler, torch fills in a SequentialSampler that is unused.
    used = [s for s in inner if not isinstance(s, SequentialSampler)]
    return used or inner
