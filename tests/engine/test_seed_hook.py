# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, ClassBalancedDataset, RepeatDataset
from mmengine.hooks import Hook
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
)

from mask_plugins.datasets.transforms import SeedSample
from mask_plugins.engine.hooks import SeedHook
from mask_plugins.engine.randomness.resumable_iterator import PassIterator

from ..common.runs import train
from .toys import ToyDataset, build_runner


def augment(results):
    results['x'] += np.random.rand() + random.random() + torch.rand(1).item()
    return results


PIPELINE = [dict(type='mask_plugins.SeedSample'), augment]


class Record(Hook):
    """What was fed, and what an iteration would draw."""

    priority = 'LOW'

    def __init__(self):
        self.fed, self.drawn, self.val = [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.fed.append([float(x) for x in data_batch['x']])
        self.drawn.append(self.draw())

    def before_val_epoch(self, runner):
        self.val.append(self.draw())

    @staticmethod
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()


class Disturb(Hook):
    """Draw a different number of random numbers in every run."""

    def __init__(self, count):
        self.count = count

    def after_train_iter(self, runner, *args, **kwargs):
        for _ in range(self.count):
            Record.draw()

    before_val = before_train = before_run = after_train_iter


def run(tmp_path, disturb=0, pipeline=PIPELINE, stock=True, **kwargs):
    record = Record()
    dataset = dict(type=ToyDataset, pipeline=pipeline)
    kwargs.setdefault('dataset', dataset)
    if kwargs.get('loop') == 'iter':
        kwargs.setdefault('checkpoint', dict(by_epoch=False))
    hooks = [SeedHook(), record, Disturb(disturb)]
    runner = build_runner(tmp_path, hooks=hooks, **kwargs)
    if not stock:
        runner._hooks = [
            hook
            for hook in runner.hooks
            if type(hook).__name__ != 'DistSamplerSeedHook'
        ]
    text = train(runner)
    record.warnings = [x for x in text.splitlines() if 'SeedHook: ' in x]
    return record


def test_what_ran_before_does_not_matter(tmp_path):
    a, b = run(tmp_path / 'a'), run(tmp_path / 'b', disturb=3)
    assert a.fed == b.fed
    assert a.drawn == b.drawn
    assert a.val == b.val
    assert len(set(a.drawn)) == len(a.drawn) == 6
    assert len(set(a.val)) == 2
    assert a.warnings == []
    # Another order and another augmentation in the second epoch.
    assert len({x for batch in a.fed for x in batch}) == 24


def test_the_seed_matters(tmp_path):
    a = run(tmp_path / 'a')
    b = run(tmp_path / 'b', randomness=dict(seed=4))
    assert a.fed != b.fed
    assert not set(a.drawn) & set(b.drawn)


@pytest.mark.parametrize('diff', [True, False])
def test_data_order_without_dist_sampler_seed_hook(tmp_path, diff):
    """The order is a function of (seed, epoch) whatever the config says."""
    options = dict(
        stock=False,
        pipeline=[],
        randomness=dict(seed=3, diff_rank_seed=diff),
    )
    a, b = (run(tmp_path / name, **options).fed for name in 'ab')
    assert a == b
    assert a[:3] != a[3:]


def test_iteration_loop_counts_passes(tmp_path):
    a = run(tmp_path / 'a', loop='iter', interval=100)
    b = run(tmp_path / 'b', interval=100)
    loader = dict(num_workers=2, persistent_workers=True)
    c = run(tmp_path / 'c', loop='iter', interval=100, loader=loader)
    assert a.fed == b.fed == c.fed
    assert a.warnings == c.warnings == []


def test_infinite_sampler(tmp_path):
    sampler = dict(type='InfiniteSampler', shuffle=True)
    options = dict(sampler=sampler, loop='iter')
    a = run(tmp_path / 'a', **options)
    b = run(tmp_path / 'b', loader=dict(num_workers=1), **options)
    assert a.fed == b.fed
    assert len({x for batch in a.fed for x in batch}) == 24


def test_repeated_dataset_looks_different_each_time(tmp_path):
    dataset = dict(
        type=RepeatDataset,
        times=2,
        dataset=dict(type=ToyDataset, pipeline=PIPELINE),
    )
    a = run(tmp_path, dataset=dataset, epochs=1)
    assert a.warnings == []
    assert len({x for batch in a.fed for x in batch}) == 24


class Balanced(ToyDataset):
    def get_cat_ids(self, idx):
        return [0 if idx else 1]


class Bare(BaseDataset):
    def load_data_list(self):
        return [dict(x=1.0, y=1.0)] * 12


def plain_sampler(dataset, seed):
    return RandomSampler(dataset)


BALANCED = dict(
    type=ClassBalancedDataset,
    oversample_thr=0.5,
    dataset=dict(type=Balanced, pipeline=PIPELINE),
)
PLAIN = dict(pipeline=[augment])


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (PLAIN, []),
        (dict(PLAIN, loader=dict(num_workers=1)), ['Put dict(type=']),
        (
            dict(PLAIN, loader=dict(num_workers=1, persistent_workers=True)),
            ['starts every worker', 'persistent_workers=False'],
        ),
        (dict(PLAIN, loop='iter'), ['an iteration loop without']),
        (dict(pipeline=PIPELINE[::-1]), ['transform 1 of ToyDataset']),
        (dict(accumulate=2), ['does not divide the 3 iterations']),
        (dict(accumulate=3), []),
        (dict(randomness=dict(seed=None)), ['Set randomness=dict(seed=0)']),
        (
            dict(sampler=dict(type=plain_sampler)),
            ['RandomSampler has no attribute `seed`'],
        ),
        (dict(dataset=BALANCED), ['ClassBalancedDataset hides']),
        (dict(dataset=dict(type=Bare, serialize_data=False)), []),
    ],
)
def test_warnings_say_what_to_do(tmp_path, options, expected):
    record = run(tmp_path, **options)
    assert len(record.warnings) == len(expected)
    for text in expected:
        assert sum(text in line for line in record.warnings) == 1


class Letters(Dataset):
    loaded = ''

    def __len__(self):
        return 3

    def __getitem__(self, index):
        self.loaded += 'abc'[index]
        return 'abc'[index]


class Stream(IterableDataset):
    """It has to be loaded to be skipped."""

    loaded = ''

    def __len__(self):
        return 6

    def __iter__(self):
        return iter('abcdef')


@pytest.mark.parametrize(
    ('kind', 'done', 'expected', 'loaded', 'passes'),
    [
        (Letters, 0, 'abcabca', 'abcabca', [0, 1, 2]),
        (Letters, 7, 'bcabc', 'bcabc', [2, 3]),
        (Stream, 4, 'ef', '', [0]),
    ],
)
def test_pass_iterator(kind, done, expected, loaded, passes):
    dataset, begun = kind(), []
    loader = DataLoader(dataset, batch_size=1, collate_fn=lambda x: x[0])
    iterator = PassIterator(loader, begun.append, done=done)
    found = [next(iterator) for _ in range(done + len(expected))]
    assert found == [None] * done + list(expected)
    assert (dataset.loaded, begun) == (loaded, passes)


def test_a_loader_without_batches():
    """What mmpretrain's vis_scheduler has in place of a loader."""
    SeedHook()._number_draws(None, SimpleNamespace(dataset=[1, 2]))


def test_seed_sample_reaches_the_hook_through_its_registry_name(tmp_path):
    runner = build_runner(
        tmp_path, dataset=dict(type=ToyDataset, pipeline=PIPELINE)
    )
    transforms = runner.train_dataloader.dataset.pipeline.transforms
    assert isinstance(transforms[0], SeedSample)
