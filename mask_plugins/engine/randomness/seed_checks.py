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
_SAMPLER = "Use sampler=dict(type='DefaultSampler', shuffle=True)"


def seed_samples_of(loader: DataLoader) -> List[SeedSample]:
    """Every SeedSample that the loader's datasets apply, in a fixed order.

    Examples:
        >>> seed_samples_of(DataLoader(range(3)))
        []
    """
    return [
        transform
        for dataset, _ in walk_datasets(loader.dataset)
        for transform in pipeline_of(dataset)
        if isinstance(transform, SeedSample)
    ]


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
            yield (
                f'{name} has no attribute `seed`: the hook cannot make data '
                f'order a function of (seed, epoch). {_SAMPLER}'
            )
        elif not hasattr(sampler, 'set_epoch'):
            yield (
                f'{name} has no method `set_epoch`: a resumed run repeats the '
                f'data order of the first epoch. {_SAMPLER}'
            )
    if seed_samples_of(loader):
        for dataset, wrappers in walk_datasets(loader.dataset):
            if pipeline_of(dataset):
                yield from _dataset_problems(loader, dataset, wrappers)
        return
    if loader.num_workers > 0:
        yield (
            'the train pipeline has no mask_plugins.SeedSample: random '
            'augmentation depends on the number of workers, and mmengine '
            f'starts every worker with the same numbers. {_FIRST}'
        )
    if loader.num_workers > 0 and loader.persistent_workers:
        yield (
            'persistent_workers=True without mask_plugins.SeedSample: the '
            'workers carry random states that no checkpoint holds, a resumed '
            f'run differs. {_FIRST}, or set persistent_workers=False'
        )
    elif by_iter:
        yield (
            'an iteration loop without mask_plugins.SeedSample: random '
            f'augmentation differs after a resume. {_FIRST}'
        )


def _dataset_problems(
    loader: DataLoader, dataset: Any, wrappers: Tuple[Any, ...]
) -> Iterator[str]:
    name = type(dataset).__name__
    seeds = [isinstance(t, SeedSample) for t in pipeline_of(dataset)]
    if not any(seeds):
        if not any(
            isinstance(transform, SeedSample)
            for inner, _ in walk_datasets(dataset)
            for transform in pipeline_of(inner)
        ):
            yield (
                f'the pipeline of {name} has no mask_plugins.SeedSample, '
                'while others have: put it first in every train pipeline'
            )
        return
    if not seeds[0]:
        before = type(pipeline_of(dataset)[0]).__name__
        yield (
            f'mask_plugins.SeedSample is transform {seeds.index(True)} of '
            f'{name}; what {before} draws before it is not seeded. Put it '
            'first'
        )
    lost = [
        type(wrapper).__name__
        for wrapper in wrappers
        if not isinstance(wrapper, (ConcatDataset, RepeatDataset, Subset))
        and type(wrapper).__name__ != '_SlicedDataset'
    ]
    repeats = any(isinstance(w, ClassBalancedDataset) for w in wrappers)
    sampler = getattr(loader.batch_sampler, 'sampler', None)
    if lost and (isinstance(sampler, DrawSampler) or repeats):
        yield (
            f'{" and ".join(lost)} hides which draw of a sample it is: a '
            'sample that is drawn several times gets the same augmentation '
            'each time. Use a sampler or longer training in place of the '
            'wrapper, or leave SeedSample out'
        )


def _leaves(loader: DataLoader) -> List[Any]:
    """The samplers that decide on the order, not those that wrap one."""
    wraps = {'sampler', 'batch_sampler'}
    inner = [s for s in samplers_of(loader) if not wraps & set(vars(s))]
    # With a batch sampler, torch fills in a SequentialSampler that is unused.
    used = [s for s in inner if not isinstance(s, SequentialSampler)]
    return used or inner
