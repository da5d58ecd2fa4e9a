# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""CoOp-style split files."""

import json

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from mask_plugins.datasets import SubsetByRandperm, ZhouSplitDataset
from mask_plugins.datasets.subset import labels_of

NAMES = ('banded', 'dotted', 'woven')
PARTS = ('train', 'train', 'val', 'test')


@pytest.fixture
def root(tmp_path):
    """Four images per class: two train, one val, one test."""
    lists = dict(train=[], val=[], test=[])
    for label, name in enumerate(NAMES):
        folder = tmp_path / 'images' / name
        folder.mkdir(parents=True)
        for n, part in enumerate(PARTS):
            pixels = np.full((9, 11, 3), 40 * label + n, np.uint8)
            Image.fromarray(pixels).save(folder / f'{n}.png')
            lists[part].append([f'{name}/{n}.png', label, name])
    write(tmp_path, lists)
    return tmp_path


def write(root, lists):
    (root / 'split.json').write_text(json.dumps(lists))


def build(root, split='train', **options):
    return ZhouSplitDataset(
        root, 'split.json', split, data_prefix='images', **options
    )


@pytest.mark.parametrize(
    ('split', 'count'),
    [('train', 6), ('val', 3), ('trainval', 9), ('test', 3)],
)
def test_splits(root, split, count):
    dataset = build(root, split)
    assert len(dataset) == count
    assert dataset.metainfo['classes'] == dataset.CLASSES == NAMES
    labels = labels_of(dataset)
    assert np.bincount(labels).tolist() == [count // 3] * 3


def test_trainval_is_train_then_val(root):
    whole, *parts = (build(root, x) for x in ('trainval', 'train', 'val'))
    paths = [whole[i]['img_path'] for i in range(9)]
    assert paths == [p[i]['img_path'] for p in parts for i in range(len(p))]


def test_images_are_loaded(root):
    init_default_scope('mmpretrain')
    import mmpretrain.datasets  # noqa: F401

    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    dataset = build(root, 'test', pipeline=pipeline)
    packed = dataset[2]
    assert packed['inputs'].shape == (3, 9, 11)
    assert packed['inputs'].unique().tolist() == [83]
    assert packed['data_samples'].gt_label.item() == 2


def test_a_few_labels_of_it(root):
    subset = SubsetByRandperm(build(root), 3, balanced=True)
    assert sorted(subset.get_cat_ids(i)[0] for i in range(3)) == [0, 1, 2]


def test_missing_files(root):
    with pytest.raises(FileNotFoundError, match='not found: .*nothing.*CoOp'):
        build(root / 'nothing')
    (root / 'images' / 'dotted' / '0.png').unlink()
    with pytest.raises(FileNotFoundError, match='1 of 6 images.*0.png'):
        build(root)
    assert len(build(root, check_images=False)) == 6
    assert len(build(root, 'test')) == 3


def first(lists, **entry):
    """The lists with another first training image."""
    path, label, name = lists['train'][0]
    given = {**dict(path=path, label=label, name=name), **entry}
    return {**lists, 'train': [[*given.values()], *lists['train'][1:]]}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda x: {**x, 'train': []}, "no images for split='train'"),
        (lambda x: first(x, label=4, name='x'), '4 classes .* from 0 to 4'),
        (lambda x: first(x, name='woven'), "label 0 is 'woven' and"),
        (lambda x: first(x, label='0'), 'is not a split file'),
        (lambda x: {**x, 'train': [['x', 1]]}, 'is not a split file'),
        (lambda x: dict(train=[]), 'KeyError'),
    ],
)
def test_bad_files(root, change, message):
    lists = json.loads((root / 'split.json').read_text())
    write(root, change(lists))
    with pytest.raises(ValueError, match=message):
        build(root)


def test_a_file_that_is_cut(root):
    (root / 'split.json').write_text('{"train": [')
    with pytest.raises(ValueError, match='is not a split file'):
        build(root)
