# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Parts of datasets, as a config asks for them."""

import pickle

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from torch.utils.data import DataLoader

from mask_plugins.datasets import ClassSubset
from mask_plugins.datasets.samplers import Draw
from mask_plugins.datasets.subset import labels_of
from tests.common.datasets import Toy

DIGITS = dict(type='mask_plugins.Digits')
SIX = dict(type='mask_plugins.SubsetByRandperm', size=6)


def build(**cfg):
    return DATASETS.build(cfg)


def randperm(size, dataset=DIGITS, **options):
    kind = 'mask_plugins.SubsetByRandperm'
    return build(type=kind, dataset=dataset, size=size, **options)


# Two classes, one of which is rare.
COUNTED = Toy([int(i % 10 == 9) for i in range(20)])


@pytest.mark.parametrize(
    ('size', 'count'),
    [('10p', 143), ('.25p', 3), (0.5, 716), (7, 7), ('100p', 1433), (1, 1)],
)
def test_sizes(size, count):
    subset = randperm(size)
    assert len(subset) == count
    assert len(set(subset.indices)) == count
    whole = randperm('100p').indices
    assert (subset.indices == whole[:count]).all()


@pytest.mark.parametrize(
    ('size', 'error', 'message'),
    [
        ('10', ValueError, "percent as in 10p, got '10'"),
        ('xp', ValueError, "got 'xp'"),
        ('101p', ValueError, "got '101p'"),
        (1.5, ValueError, 'got 1.5'),
        (0, ValueError, 'got 0'),
        (True, TypeError, 'got True'),
        (None, TypeError, 'got None'),
        (9999, ValueError, r'size=9999 of 1433 samples .* \[1, 1433\]'),
        ('.01p', ValueError, 'of 1433 samples .*got 0'),
    ],
)
def test_bad_sizes(size, error, message):
    with pytest.raises(error, match=message):
        randperm(size)


def test_balanced():
    subset = randperm(101, balanced=True)
    labels = labels_of(subset)
    assert np.bincount(labels).tolist() == [10] * 10
    # those that the uniform subset meets first
    order = randperm('100p').indices.tolist()
    places = [order.index(i) for i in subset.indices]
    assert places == sorted(places)
    with pytest.raises(ValueError, match=r'per class, .* \[1, 2\], got 5'):
        randperm(10, COUNTED, balanced=True)
    with pytest.raises(ValueError, match='per class, .* got 0'):
        randperm(1, COUNTED, balanced=True)


def test_samples_are_those_of_the_dataset():
    plain = build(**DIGITS)
    subset = randperm('10p')
    for index in (0, 5, 142):
        inner = int(subset.indices[index])
        assert (subset[index]['img'] == plain[inner]['img']).all()
        assert subset[index]['sample_idx'] == inner
        assert subset.get_data_info(index)['sample_idx'] == inner
    assert subset.metainfo == plain.metainfo
    assert subset.CLASSES == plain.metainfo['classes']
    with pytest.raises(IndexError):
        subset[143]


def test_lazy_init_reads_later():
    subset = randperm('10p', dict(DIGITS, lazy_init=True), lazy_init=True)
    assert not subset._fully_initialized
    assert len(subset) == 143
    assert subset[0]['sample_idx'] == subset.indices[0]


def test_draws_keep_their_number():
    seen = []
    dataset = dict(DIGITS, pipeline=[lambda r: seen.append(r['sample_idx'])])
    dataset['test_mode'] = True
    subset = randperm(5, randperm(9, dataset))
    with pytest.raises(Exception, match='None'):
        subset[Draw(2, 7)]
    assert seen[0].number == 7
    assert seen[0] == subset.dataset.indices[subset.indices[2]]


def test_in_wrappers_and_workers():
    repeated = build(
        type='RepeatDataset',
        times=2,
        dataset=dict(SIX, dataset=DIGITS),
    )
    assert len(repeated) == 12
    assert repeated[7]['sample_idx'] == repeated[1]['sample_idx']
    subset = randperm(6)
    loader = DataLoader(subset, 3, num_workers=1, collate_fn=pseudo_collate)
    found = [i for batch in loader for i in batch['sample_idx']]
    assert found == subset.indices.tolist()
    assert pickle.loads(pickle.dumps(subset))[1]['sample_idx'] == found[1]


def test_a_dataset_is_needed():
    with pytest.raises(TypeError, match='got list'):
        randperm(1, [1, 2])


# ---------------------------------------------------------------- classes
@pytest.mark.parametrize('classes', [(7, 3), ('7', '3')])
def test_classes_are_numbered_anew(classes):
    subset = ClassSubset(DIGITS, classes)
    plain = build(**DIGITS)
    assert subset.metainfo['classes'] == ('7', '3')
    labels = labels_of(plain)
    assert len(subset) == np.isin(labels, (3, 7)).sum()
    for index in range(20):
        old = labels[subset.indices[index]]
        new = {7: 0, 3: 1}[old]
        assert subset[index]['gt_label'] == new
        assert subset.get_data_info(index)['gt_label'] == new
        assert subset.get_cat_ids(index) == [new]


def test_packed_samples_are_numbered_anew():
    init_default_scope('mmpretrain')
    import mmpretrain.datasets  # noqa: F401

    packed = dict(DIGITS, pipeline=[dict(type='PackInputs')])
    subset = ClassSubset(randperm(0.5, packed), classes=[9, 4])
    for index in range(10):
        label = subset[index]['data_samples'].gt_label
        assert label.tolist() == subset.get_cat_ids(index)


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        ([], 'each once'),
        ([1, 1], 'each once'),
        ('14', "each once, got '14'"),
        ([1, 12], r'no samples of \[12\]'),
        (['one'], "there is no 'one'"),
    ],
)
def test_bad_classes(classes, message):
    with pytest.raises(ValueError, match=message):
        ClassSubset(DIGITS, classes)
