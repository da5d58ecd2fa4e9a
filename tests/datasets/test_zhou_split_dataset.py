# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""CoOp-style split files."""

import json

import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

NAMES = ('banded', 'dotted', 'woven')


@pytest.fixture
def root(tmp_path):
    """Four images per class: two train, one val, one test."""
    lists = dict(train=[], val=[], test=[])
    for label, name in enumerate(NAMES):
        folder = tmp_path / 'images' / name
        folder.mkdir(parents=True)
        for n, part in enumerate(('train', 'train', 'val', 'test')):
            pixels = np.full((9, 11, 3), 40 * label + n, np.uint8)
            Image.fromarray(pixels).save(folder / f'{n}.png')
            lists[part].append([f'{name}/{n}.png', label, name])
    write(tmp_path, lists)
    return tmp_path


def write(root, lists):
    (root / 'split.json').write_text(json.dumps(lists))


def read(root):
    return json.loads((root / 'split.json').read_text())


def build(root, split='train', **options):
    return DATASETS.build(
        dict(
            type='mask_plugins.ZhouSplitDataset',
            data_root=str(root),
            ann_file='split.json',
            data_prefix='images',
            split=split,
            **options,
        )
    )


@pytest.mark.parametrize(
    ('split', 'count'),
    [('train', 6), ('val', 3), ('trainval', 9), ('test', 3)],
)
def test_splits(root, split, count):
    dataset = build(root, split)
    assert len(dataset) == count
    assert dataset.metainfo['classes'] == dataset.CLASSES == NAMES
    labels = [dataset.get_cat_ids(i)[0] for i in range(count)]
    assert np.bincount(labels).tolist() == [count // 3] * 3


def test_trainval_is_train_then_val(root):
    whole, *parts = (build(root, x) for x in ('trainval', 'train', 'val'))
    paths = [whole[i]['img_path'] for i in range(9)]
    assert paths == [p[i]['img_path'] for p in parts for i in range(len(p))]


def test_images_are_loaded(root):
    init_default_scope('mmpretrain')
    import mmpretrain.datasets  # noqa: F401

    dataset = build(
        root,
        'test',
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')],
    )
    packed = dataset[2]
    assert packed['inputs'].shape == (3, 9, 11)
    assert packed['inputs'].unique().tolist() == [83]
    assert packed['data_samples'].gt_label.item() == 2


def test_a_few_labels_of_it(root):
    subset = DATASETS.build(
        dict(
            type='mask_plugins.SubsetByRandperm',
            size=3,
            balanced=True,
            dataset=dict(
                type='mask_plugins.ZhouSplitDataset',
                data_root=str(root),
                ann_file='split.json',
                data_prefix='images',
                split='train',
            ),
        )
    )
    assert sorted(subset.get_cat_ids(i)[0] for i in range(3)) == [0, 1, 2]


def test_missing_files(root):
    with pytest.raises(FileNotFoundError, match='not found: .*nothing.*CoOp'):
        build(root / 'nothing')
    (root / 'images' / 'dotted' / '0.png').unlink()
    with pytest.raises(FileNotFoundError, match='1 of 6 images.*0.png'):
        build(root)
    assert len(build(root, check_images=False)) == 6
    assert len(build(root, 'test')) == 3


def change(root, **lists):
    write(root, {**read(root), **lists})


def test_bad_files(root):
    with pytest.raises(ValueError, match='one of .*trainval.*, got .all.'):
        build(root, 'all')
    change(root, val=[])
    with pytest.raises(ValueError, match="no images for split='val'"):
        build(root, 'val')
    good = read(root)
    shifted = [[p, label + 1, n] for p, label, n in good['train']]
    change(root, train=shifted, test=[])
    with pytest.raises(ValueError, match='3 classes have labels from 1 to 3'):
        build(root)
    change(root, train=[*good['train'], ['x.png', 0, 'woven']])
    with pytest.raises(ValueError, match="label 0 is 'banded' and"):
        build(root)
    for lists in (dict(train=[['x.png', '0', 'a']]), dict(train=[['x', 1]])):
        change(root, **lists)
        with pytest.raises(ValueError, match='is not a split file'):
            build(root)
    write(root, dict(train=[]))
    with pytest.raises(ValueError, match='KeyError'):
        build(root)
    (root / 'split.json').write_text('{"train": [')
    with pytest.raises(ValueError, match='is not a split file'):
        build(root)
