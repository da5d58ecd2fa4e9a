# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
from collections import Counter

import pytest
from mmengine.registry import DATASETS

TYPE = 'mask_plugins.StratifiedSplit'
DIGITS = dict(type='mask_plugins.Digits', split='train')


def build(**options):
    options = dict(
        dict(part='val', val_per_class=5, dataset=DIGITS), **options
    )
    return DATASETS.build(dict(type=TYPE, **options))


def indices(dataset):
    return [
        dataset.get_data_info(i)['img'].tobytes() for i in range(len(dataset))
    ]


def labels(dataset):
    return Counter(
        dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))
    )


def test_parts_are_stratified_and_disjoint():
    train, val = build(part='train'), build()
    assert set(labels(val).values()) == {5}
    assert len(train) + len(val) == 1433
    assert not set(indices(train)) & set(indices(val))
    assert val.metainfo['classes'] == train.metainfo['classes']


def test_the_seed_decides():
    assert indices(build()) == indices(build())
    assert indices(build(seed=1)) != indices(build())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(part='test'), "part must be one of .* got 'test'"),
        (dict(val_per_class=1000), 'of class 0, got 1000'),
        (dict(val_per_class=0), 'at least 1'),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_a_share_is_no_count():
    with pytest.raises(TypeError, match=r'an int .*got 0\.1'):
        build(val_per_class=0.1)
