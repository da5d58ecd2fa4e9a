# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Batches that grow: what each pass has."""

import itertools
from unittest import mock

import pytest
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, DataLoader

from mask_plugins.core.schedules import CyclicSchedule, LinearSchedule
from mask_plugins.core.tokens import budget_batch_size, keep_count
from mask_plugins.datasets.samplers import (
    TokenBudgetSampler,
    first_step,
    locate_step,
)

TOKENS = 37


def make(
    images=100, batch_size=4, epochs=3, schedule=None,
    order=DefaultSampler, **kwargs,
):  # fmt: skip
    """A sampler that follows a schedule; by default once down, per run."""
    order = order(range(images), shuffle=True, seed=0)
    sampler = TokenBudgetSampler(order, batch_size, **kwargs)
    schedule = schedule or LinearSchedule(0.8, 0.0)
    full = sampler.full_batches
    schedule = schedule.resolve(epochs * full, full)

    def size_at(position):
        kept = keep_count(TOKENS, schedule.value(position))
        most = sampler.max_batch_size
        return budget_batch_size(batch_size, TOKENS, kept, most)

    sampler.follow(size_at)
    return sampler, schedule


@pytest.mark.parametrize('images', [1, 4, 97, 100])
def test_each_image_once_within_the_budget(images):
    sampler, schedule = make(images)
    lengths = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert sorted(itertools.chain(*batches)) == list(range(images))
        assert len(batches) == len(sampler)
        fed = 0
        for batch in batches[:-1]:
            position = epoch * sampler.full_batches + fed // 4
            kept = keep_count(TOKENS, schedule.value(position))
            assert len(batch) * kept <= 4 * TOKENS
            assert (len(batch) + 1) * kept > 4 * TOKENS
            fed += len(batch)
        lengths.append(len(batches))
    assert lengths == sorted(lengths)  # tokens come back over the run
    if images == 100:
        assert lengths[0] < lengths[2] < 25 == sampler.full_batches


def test_positions_add_up_to_the_epochs():
    sampler, _ = make(97)
    steps = itertools.islice(sampler.all_steps(), sampler.first_step(3))
    position = 0
    for step in steps:
        assert step.position == position
        assert step.advance >= 1
        position += step.advance
    assert position == 3 * sampler.full_batches


@pytest.mark.parametrize('endless', [False, True])
def test_where_a_batch_is(endless):
    order = InfiniteSampler if endless else DefaultSampler
    sampler, _ = make(40, order=order)
    steps = list(itertools.islice(sampler.all_steps(), 15))
    for index, step in reversed(list(enumerate(steps))):
        assert sampler.position(index) == step.position
        epoch, number = sampler.locate(index)
        assert epoch == step.position // 10
        first = sampler.first_step(epoch)
        assert index == first + number
        assert number or steps[first - 1].position < 10 * epoch or not epoch
    assert sampler.locate(14)[0] > 1


def test_a_cycle_per_epoch_has_equal_epochs():
    sampler, _ = make(schedule=CyclicSchedule(0.8, 0.0))
    sizes = [[s.size for s in sampler.steps(epoch)] for epoch in range(3)]
    assert sizes[0] == sizes[1] == sizes[2]
    assert max(sizes[0]) == 4 * TOKENS // 7


def test_upper_bound():
    sampler, _ = make(max_batch_size=9)
    assert max(map(len, sampler)) == 9
    with pytest.raises(ValueError, match='max_batch_size .* got 3'):
        make(max_batch_size=3)


def test_ranks_have_equal_sizes():
    ranks = []
    for rank in range(2):
        info = mock.patch(
            'mmengine.dataset.sampler.get_dist_info', return_value=(rank, 2)
        )
        with info:
            sampler, _ = make(101)
        ranks.append([len(batch) for batch in sampler])
    assert ranks[0] == ranks[1]


def test_without_sizes_it_is_the_stock_sampler():
    sampler = TokenBudgetSampler(range(10), 4)
    assert list(sampler) == list(BatchSampler(range(10), 4, False))
    assert len(sampler) == 3


def test_endless_order():
    order = InfiniteSampler(range(10), shuffle=True, seed=0)
    sampler = TokenBudgetSampler(order, 2)
    sampler.follow(lambda position: 4 if position < 4 else 2)
    batches = list(itertools.islice(sampler, 6))
    assert list(map(len, batches)) == [4, 4, 2, 2, 2, 2]
    assert len(set(itertools.chain(*batches[:3]))) == 10
    assert len(sampler) == 5
    steps = list(itertools.islice(sampler.all_steps(), 6))
    assert [step.position for step in steps] == [0, 2, 4, 5, 6, 7]


def test_passes_of_a_loader():
    sampler, _ = make()
    loader = DataLoader(range(100), batch_sampler=sampler)
    second = first_step(loader, 1)
    assert locate_step(loader, second - 1) == (0, second - 1)
    assert locate_step(loader, second) == (1, 0)
    assert second < first_step(loader, 2) - second  # longer than the first
