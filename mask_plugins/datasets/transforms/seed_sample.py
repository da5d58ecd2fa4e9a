# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Draw the augmentation of a sample from (seed, epoch, sample index)."""

import torch

from mask_plugins.datasets.samplers.draw import Draw
from mask_plugins.functional.seeding import (
    SAMPLE,
    derive_seeds,
    seed_generators,
)
from mask_plugins.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SeedSample:
    """First transform of a pipeline: seed the transforms after it.

    Random transforms draw from the global generators of :mod:`random`, numpy
    and torch. This one seeds all three from (seed, epoch, ``sample_idx``), so
    that neither the number of workers nor a killed run changes what a sample
    looks like. :class:`mask_plugins.SeedHook` sets seed and epoch; without
    the hook (or :meth:`set`) the transform does nothing.

    A sample that is drawn several times in an epoch (repeated augmentation,
    :class:`mmengine.dataset.RepeatDataset`, an endless sampler) looks
    different each time: the hook then numbers the draws, see
    :class:`mask_plugins.datasets.samplers.DrawSampler`.

    Seed and epoch lie in shared memory, so they also reach workers that
    were started before they changed (``persistent_workers=True``).

    It needs no mmcv: it serves the pipelines of mmpretrain, mmdet and mmseg.

    Raises:
        KeyError: If a sample has no ``sample_idx``, which
            :class:`mmengine.dataset.BaseDataset` gives to every sample.

    Examples:
        >>> transform = SeedSample()
        >>> transform.set(seed=0, epoch=1)
        >>> first, _ = torch.rand(1), transform(dict(sample_idx=3))
        >>> drawn, _ = torch.rand(1), transform(dict(sample_idx=3))
        >>> torch.equal(torch.rand(1), drawn)
        True
    """

    def __init__(self) -> None:
        # enabled, seed, epoch, number of the dataset
        self._state = torch.zeros(4, dtype=torch.int64).share_memory_()

    def set(self, seed: int, epoch: int, dataset: int = 0) -> None:
        """Seed the samples from now on.

        Args:
            seed (int): Seed of the run.
            epoch (int): Pass over the data.
            dataset (int): Number that tells datasets apart that are fed
                together, since each counts its samples from 0. Defaults to 0.
        """
        # A deep copy of the pipeline has left the shared memory.
        self._state.share_memory_()
        self._state.copy_(torch.tensor([1, seed, epoch, dataset]))

    def disable(self) -> None:
        """Leave the generators alone from now on."""
        self._state.zero_()

    def __call__(self, results: dict) -> dict:
        """Seed, and hand the sample on as it is."""
        enabled, seed, epoch, dataset = self._state.tolist()
        if enabled:
            if 'sample_idx' not in results:
                raise KeyError(
                    "SeedSample needs results['sample_idx'], which datasets "
                    f'of mmengine set; found only {sorted(results)}'
                )
            index = results['sample_idx']
            number = index.number if isinstance(index, Draw) else 0
            results['sample_idx'] = index = int(index)
            seed_generators(
                derive_seeds(seed, SAMPLE, epoch, dataset, index, number)
            )
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
