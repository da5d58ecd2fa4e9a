# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
from collections import Counter

import pytest

from mask_plugins.datasets import StratifiedSplit
from mask_plugins.datasets.subset import labels_of

DIGITS = dict(type='mask_plugins.Digits', split='train')


def build(part='val', val_per_class=5, **options):
    return StratifiedSplit(DIGITS, part, val_per_class, **options)


def images(dataset):
    return [dataset[i]['img'].tobytes() for i in range(len(dataset))]


def test_parts_are_stratified_and_disjoint():
    train, val = build('train'), build()
    labels = Counter(labels_of(val).tolist())
    assert set(labels.values()) == {5}
    assert len(train) + len(val) == 1433
    assert not set(images(train)) & set(images(val))
    assert val.metainfo['classes'] == train.metainfo['classes']


def test_the_seed_decides():
    assert images(build()) == images(build())
    assert images(build(seed=1)) != images(build())


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(part='test'), ValueError, "part must be one of .* got 'test'"),
        (dict(val_per_class=1000), ValueError, 'of class 0 .*got 1000'),
        (dict(val_per_class=0), ValueError, 'at least 1'),
        (dict(val_per_class=0.1), TypeError, r'an int .*got 0\.1'),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        build(**options)
