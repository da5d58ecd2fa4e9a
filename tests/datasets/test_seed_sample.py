# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import copy
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.dataset import (
    BaseDataset,
    ConcatDataset,
    DefaultSampler,
    InfiniteSampler,
    RepeatDataset,
)
from torch.utils.data import DataLoader

from mask_plugins.datasets.samplers import Draw, DrawSampler
from mask_plugins.datasets.transforms import SeedSample
from mask_plugins.functional.seeding import (
    SAMPLE,
    derive_seeds,
    seed_generators,
)
from mask_plugins.registry import TRANSFORMS

SPAWN = dict(multiprocessing_context='spawn', persistent_workers=True)


def draw_all(results):
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    return dict(results, drawn=drawn)


class Numbers(BaseDataset):
    def __init__(self, seed_sample, size=6, **kwargs):
        self.size = size
        super().__init__(pipeline=[seed_sample, draw_all], **kwargs)

    def load_data_list(self):
        return [dict() for _ in range(self.size)]


def collect(loader):
    return [(x['sample_idx'], x['drawn']) for batch in loader for x in batch]


def loader_of(dataset, workers=0, **kwargs):
    return DataLoader(
        dataset, 2, num_workers=workers, collate_fn=list, **kwargs
    )


class TestSeeds:
    def test_are_a_function_of_their_place(self):
        places = [
            derive_seeds(seed, stream, *position)
            for seed in (0, 1)
            for stream in range(3)
            for position in ((), (0,), (1,), (0, 0), (0, 1), (1, 0))
        ]
        assert len(set(places)) == len(places)
        assert derive_seeds(3, 1, 2) == derive_seeds(3, 1, 2)

    def test_are_these(self):
        """A run can be repeated with a later version of the package."""
        expected = 1240392530, 2080213937, 13290407823607081643
        assert derive_seeds(0, 1, 0, 5) == expected

    def test_generators(self):
        drawn = []
        for place in (1, 1, 2):
            seed_generators(derive_seeds(0, SAMPLE, place))
            drawn.append(draw_all({})['drawn'])
        first, again, other = drawn
        assert first == again
        assert all(a != b for a, b in zip(first, other))

    def test_negative(self):
        with pytest.raises(ValueError, match='got -1'):
            derive_seeds(0, 1, -1)
        with pytest.raises(ValueError, match='got 9223372036854775808'):
            derive_seeds(1 << 63, 1)


class TestSeedSample:
    def test_is_registered_and_needs_no_mmcv(self):
        assert isinstance(
            TRANSFORMS.build(dict(type='mask_plugins.SeedSample')), SeedSample
        )
        code = (
            'import sys, mask_plugins.datasets.transforms;'
            'sys.exit("mmcv" in sys.modules or "mmpretrain" in sys.modules)'
        )
        subprocess.run([sys.executable, '-c', code], check=True)

    def test_does_nothing_until_it_is_set(self):
        torch.manual_seed(0)
        state = torch.get_rng_state()
        assert SeedSample()(dict(x=1)) == dict(x=1)
        assert torch.equal(torch.get_rng_state(), state)

    def test_depends_on_seed_epoch_dataset_and_index(self):
        transform = SeedSample()
        drawn = []
        for place in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
            transform.set(*place)
            for index in (0, 1, Draw(0, 1)):
                results = draw_all(transform(dict(sample_idx=index)))
                drawn.append(results['drawn'])
                assert type(results['sample_idx']) is int
        assert len(set(drawn)) == 12
        transform.disable()
        random.seed(1)
        a = draw_all(transform({}))['drawn']
        assert a not in drawn

    def test_sample_without_index(self):
        transform = SeedSample()
        transform.set(0, 0)
        with pytest.raises(KeyError, match='sample_idx'):
            transform(dict(img=1))

    @pytest.mark.parametrize(
        ('workers', 'options'),
        [
            (1, {}),
            (2, {}),
            (2, dict(persistent_workers=True)),
            pytest.param(1, SPAWN, marks=pytest.mark.slow),
        ],
    )
    @pytest.mark.parametrize('copied', [False, True])
    def test_workers_do_not_matter(self, workers, options, copied):
        transform = SeedSample()
        if copied:
            transform = copy.deepcopy(transform)
        here = loader_of(Numbers(transform))
        there = loader_of(Numbers(transform), workers, **options)
        epochs = []
        for epoch in range(3):
            transform.set(5, epoch)
            epochs.append(collect(here))
            assert collect(there) == epochs[-1]
        assert len({x[1] for epoch in epochs for x in epoch}) == 18


class TestDraws:
    def test_is_an_index(self):
        draw = Draw(7, number=3)
        assert draw == 7
        assert [0] * 7 + [9] == list(range(0)) + [0] * draw + [9]
        assert (draw - 5, (draw - 5).number) == (2, 3)
        assert (draw % 4, (draw % 4).number) == (3, 3)

    @pytest.mark.parametrize('workers', [0, 2])
    @pytest.mark.parametrize('wrapper', ['repeat', 'concat', None])
    def test_repeated_samples_look_different(self, workers, wrapper):
        transform = SeedSample()
        transform.set(0, 0)
        dataset = Numbers(transform)
        if wrapper == 'repeat':
            dataset = RepeatDataset(dataset, 2)
        elif wrapper == 'concat':
            dataset = ConcatDataset([dataset, dataset])
        inner = [0, 1, 2, 3, 4, 5] * 2
        if wrapper is not None:
            inner = DefaultSampler(dataset, shuffle=False)
        sampler = DrawSampler(inner)
        samples = collect(loader_of(dataset, workers, sampler=sampler))
        assert len(samples) == 12
        assert {index for index, _ in samples} == set(range(6))
        assert len({drawn for _, drawn in samples}) == 12

    def test_is_looked_through(self):
        inner = InfiniteSampler(range(4), seed=3)
        sampler = DrawSampler(inner)
        assert len(sampler) == 4
        assert sampler.seed == 3
        copied = copy.deepcopy(DrawSampler(DefaultSampler(range(4), seed=3)))
        assert sorted(copied) == [0, 1, 2, 3]
