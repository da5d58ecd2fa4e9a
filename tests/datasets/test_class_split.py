# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Class splits for retrieval, and batches with several images of a class."""

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from torch.utils.data import BatchSampler

from mask_plugins.datasets import ClassSplit, ImageFolder
from mask_plugins.datasets.samplers import Draw, DrawSampler, MPerClassSampler
from tests.common.datasets import Toy, write_images


def halves(**options):
    parts = [Toy([0, 3, 1, 2]), Toy([3, 0, 2, 3], start=4)]
    return ClassSplit(**{'dataset': parts, **options})


def test_halves_of_two_splits():
    train, test = halves(), halves(part='test')
    assert train.get_gt_labels().tolist() == [0, 1, 0]
    assert [train[i]['img'][0, 0, 0] for i in range(3)] == [0, 2, 5]
    assert test.get_gt_labels().tolist() == [1, 0, 1, 0, 1]
    assert [test[i]['gt_label'] for i in range(5)] == [1, 0, 1, 0, 1]
    assert [test[i]['sample_idx'] for i in range(5)] == [0, 1, 2, 3, 4]
    assert test.get_cat_ids(2) == [1]
    assert test[Draw(2, 7)]['img'][0, 0, 0] == 4


def test_indices_of_the_others():
    test = halves(part='test', gt='indices')
    assert [test[i]['gt_label'] for i in range(5)] == [
        [2, 4], [3], [0, 4], [1], [0, 2]
    ]  # fmt: skip


def test_odd_numbers_names_and_ranges():
    toy = Toy([0, 1, 2, 3, 4], classes=('a', 'b', 'c', 'd', 'e'))
    assert ClassSplit(toy).metainfo['classes'] == ('a', 'b')
    test = ClassSplit(toy, part='test')
    assert test.metainfo['classes'] == ('c', 'd', 'e')
    some = ClassSplit(toy, classes=(1, 3))
    assert some.metainfo['classes'] == ('b', 'c')
    assert some.get_gt_labels().tolist() == [0, 1]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(part='val'), "part must be one of .* got 'val'"),
        (dict(gt='list'), "gt must be one of .* got 'list'"),
        (dict(classes=(3, 1)), 'least, greatest'),
        (dict(classes=(0, 9)), r'in \[2, 4\], got 9'),
        (dict(classes=(1, 2)), r'in \[3, 4\], got 2'),
        (dict(dataset=Toy([0, 0, 2, 3])), r'no samples of \[1\]'),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        halves(**options)


def test_any_folder_and_packed_samples(tmp_path):
    init_default_scope('mmpretrain')
    write_images(
        tmp_path, *(f'train/{x}/{n}.png' for x in 'abcd' for n in '01')
    )
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    folder = dict(type=ImageFolder, data_root=str(tmp_path), pipeline=pipeline)
    for gt, expected in (('class', [1]), ('indices', [2])):
        dataset = ClassSplit([folder], part='test', gt=gt)
        assert len(dataset) == 4
        sample = dataset[3]['data_samples']
        assert sample.gt_label.tolist() == expected
        assert sample.sample_idx == 3


# ----------------------------------------------------------------- sampler
def test_batches_have_m_of_each_of_their_classes():
    dataset = Toy([0] * 30 + [1] * 3 + [2] * 9 + [3] * 6)
    sampler = MPerClassSampler(dataset, 4, seed=0)
    assert len(sampler) == 48
    batches = list(BatchSampler(sampler, 16, drop_last=False))
    labels = np.array(dataset.given)
    drawn = np.concatenate(batches)
    for batch in batches:
        assert np.unique(labels[batch], return_counts=True)[1].tolist() == [
            4, 4, 4, 4
        ]  # fmt: skip
    # none is drawn again before all of its class were
    for label in range(4):
        members = (labels == label).sum()
        first = drawn[labels[drawn] == label][:members]
        assert len(set(first)) == min(members, 12)


def test_order_is_a_function_of_seed_and_epoch():
    dataset = Toy([0, 1, 2] * 8)
    sampler = MPerClassSampler(dataset, 2, seed=3)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    second = list(sampler)
    assert second != first
    again = MPerClassSampler(dataset, 2, seed=3)
    again.set_epoch(1)
    assert list(DrawSampler(again)) == second


def test_ranks_share_the_groups(monkeypatch):
    dataset, module = Toy([0, 1, 2] * 8), MPerClassSampler.__module__
    whole = list(MPerClassSampler(dataset, 2, seed=3))
    parts = []
    for rank in range(2):
        monkeypatch.setattr(f'{module}.get_dist_info', lambda r=rank: (r, 2))
        parts.append(list(MPerClassSampler(dataset, 2, seed=3)))
    pairs = [part[i : i + 2] for i in range(0, 12, 2) for part in parts]
    assert np.concatenate(pairs).tolist() == whole


@pytest.mark.parametrize('count', [0, 4])
def test_samplers_that_are_refused(count):
    message = rf'samples_per_class must be an int in \[1, 2\], got {count}'
    with pytest.raises(ValueError, match=message):
        MPerClassSampler(Toy([0, 1]), count)
