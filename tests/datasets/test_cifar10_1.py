# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""CIFAR-10.1 from files as its authors publish them."""

import numpy as np
import pytest

from mask_plugins.datasets import CIFAR10_1

SIZES = dict(v4=2021, v6=2000)


def write(folder, version='v6', count=None, images=None, labels=None):
    count = count or SIZES[version]
    if images is None:
        generator = np.random.default_rng(0)
        images = generator.integers(0, 256, (count, 32, 32, 3), np.uint8)
    if labels is None:
        labels = np.arange(count) % 10
    np.save(folder / f'cifar10.1_{version}_data.npy', images)
    np.save(folder / f'cifar10.1_{version}_labels.npy', labels)
    return images


@pytest.mark.parametrize('version', ['v4', 'v6'])
def test_it_reads_what_is_there(tmp_path, version):
    images = write(tmp_path, version)
    dataset = CIFAR10_1(str(tmp_path), version)
    assert len(dataset) == SIZES[version]
    assert (dataset[7]['img'] == images[7]).all()
    assert dataset[7]['gt_label'] == 7
    assert dataset.get_cat_ids(13) == [3]


def test_class_names_are_those_of_cifar10():
    from mmpretrain.datasets import CIFAR10

    assert CIFAR10_1.METAINFO['classes'] == CIFAR10.METAINFO['classes']


def test_a_missing_file_says_where_to_get_it(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'v6_data\.npy.*github\.com/modestyachts'
    ):
        CIFAR10_1(str(tmp_path / 'none'))
    write(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'v4_data\.npy'):
        CIFAR10_1(str(tmp_path), 'v4')


@pytest.mark.parametrize(
    ('bad', 'message'),
    [
        (dict(count=30), r'\(2000, 32, 32, 3\) .*got .*\(30,'),
        (dict(labels=np.full(2000, 10)), r'2000 integers in \[0, 9\]'),
    ],
)
def test_bad_files(tmp_path, bad, message):
    write(tmp_path, **bad)
    with pytest.raises(ValueError, match=message):
        CIFAR10_1(str(tmp_path))
