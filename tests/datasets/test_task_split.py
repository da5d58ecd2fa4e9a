# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tasks of a dataset, and the sampler that feeds one of them."""

import numpy as np
import pytest

from mask_plugins.datasets import Digits, TaskSplit
from mask_plugins.datasets.samplers import TaskSampler
from mask_plugins.functional.continual import class_order

DIGITS = dict(type='mask_plugins.Digits', split='test')


def split(dataset=DIGITS, **options):
    return TaskSplit(dataset, **options)


def labels(dataset, indices):
    return {dataset.get_data_info(i)['gt_label'] for i in indices}


def test_labels_follow_the_order():
    dataset = split(tasks=5, seed=3)
    order = class_order(10, 3)
    assert dataset.metainfo['classes'] == tuple(str(c) for c in order)
    plain = Digits('test')
    for index in range(0, len(dataset), 37):
        original = plain.get_data_info(index)['gt_label']
        assert order[dataset[index]['gt_label']] == original
    parts = [dataset.indices_of(task) for task in range(5)]
    assert sorted(np.concatenate(parts)) == list(range(len(plain)))
    for task, indices in enumerate(parts):
        assert labels(dataset, indices) == {2 * task, 2 * task + 1}


def test_one_task_alone():
    whole, part = split(tasks=[3, 7]), split(tasks=[3, 7], task=1)
    assert len(part) == len(whole.indices_of(1))
    assert labels(part, range(len(part))) == set(range(3, 10))


def test_order_by_names():
    names = [str(c) for c in (9, 8, 7, 6, 5, 4, 3, 2, 1, 0)]
    assert split(order=names).metainfo['classes'] == tuple(names)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(tasks=11), r'tasks must be an int in \[1, num_classes=10\]'),
        (dict(tasks=[4, 4]), '8 classes, the dataset has 10'),
        (dict(tasks=5, task=5), r'task must be an int in \[-1, 4\]'),
        (dict(order=[0, 1]), 'each of the 10 classes'),
        (dict(order=[*range(9), 'ten']), "no 'ten'"),
        (dict(order=[0, *range(9)]), 'each once'),
        (dict(seed=1, order=range(10)), 'contradict'),
        # An empty class: the first 20 samples have not all of them.
        (dict(dataset=dict(DIGITS, indices=3)), 'no samples'),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ValueError, match=match):
        split(**options)


def test_no_such_task():
    with pytest.raises(
        ValueError, match=r'task must be an int in \[0, 4\], got 7'
    ):
        split().indices_of(7)


def test_sampler_feeds_the_task():
    dataset = split(tasks=5, seed=0)
    one = TaskSampler(dataset, seed=1)
    for task in (0, 3):
        one.set_task(task)
        first, again = list(one), list(one)
        assert first == again
        assert sorted(first) == dataset.indices_of(task).tolist()
        assert len(first) == len(one)
        one.set_epoch(one.epoch + 1)
        assert list(one) != first


@pytest.mark.parametrize('round_up', [True, False])
def test_ranks_share_a_task(monkeypatch, round_up):
    dataset = split(tasks=5, seed=0)
    parts = []
    for rank in range(3):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info',
            lambda rank=rank: (rank, 3),
        )
        one = TaskSampler(dataset, seed=1, round_up=round_up)
        one.set_task(2)
        parts.append(list(one))
        assert len(parts[-1]) == len(one)
    assert len({len(part) for part in parts}) == 1 or not round_up
    fed = [index for part in parts for index in part]
    assert set(fed) == set(dataset.indices_of(2).tolist())
    assert round_up or len(fed) == len(set(fed))


def test_sampler_needs_tasks():
    with pytest.raises(TypeError, match=r'mask_plugins\.TaskSplit'):
        TaskSampler(Digits('test'))
