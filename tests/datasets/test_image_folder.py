# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Any folders of images, through the base config that feeds them."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from torch.utils.data import DataLoader

from mask_plugins.datasets import ImageFolder
from mask_plugins.datasets.subset import labels_of
from tests.common.datasets import write_images

BASE = Path(__file__).parents[2] / 'configs/_base_/datasets/folder_bs64_224.py'


@pytest.fixture
def folders(tmp_path):
    """Three classes; `bee` has no validation image."""
    write_images(
        tmp_path, 'train/ant/1.png', 'train/ant/deep/2.JPG', 'train/bee/3.png',
        'train/cat/4.png', 'val/ant/5.png', 'val/cat/6.png',
    )  # fmt: skip
    (tmp_path / 'train/cat/notes.txt').write_text('not an image')
    return tmp_path


def test_labels_are_those_of_the_training_folders(folders):
    train = ImageFolder(str(folders))
    assert train.metainfo['classes'] == ('ant', 'bee', 'cat')
    assert train.CLASSES == ('ant', 'bee', 'cat')
    infos = [train.get_data_info(i) for i in range(len(train))]
    found = [(Path(info['img_path']).name, info['gt_label']) for info in infos]
    assert found == [('1.png', 0), ('2.JPG', 0), ('3.png', 1), ('4.png', 2)]
    val = ImageFolder(str(folders), 'val')
    assert labels_of(val).tolist() == [0, 2]
    assert val.metainfo['classes'] == ('ant', 'bee', 'cat')
    # numbered by itself, `cat` would have become class 1
    alone = ImageFolder(str(folders), 'val', class_prefix=None)
    assert alone.metainfo['classes'] == ('ant', 'cat')


def test_base_config_feeds_images(folders):
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(str(BASE))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = str(folders)
        dataset = DATASETS.build(loader.dataset)
        batch = pseudo_collate([dataset[i] for i in range(len(dataset))])
        assert len(batch['inputs']) == len(dataset)
        assert {x.shape for x in batch['inputs']} == {(3, 224, 224)}
        assert batch['inputs'][0].dtype == torch.uint8
        assert loader.persistent_workers is False or loader.num_workers


def test_what_is_wrong_with_the_folders_is_said(folders):
    (folders / 'empty/a').mkdir(parents=True)
    (folders / 'val/dog').mkdir()
    for error, arguments, message in (
        (FileNotFoundError, (folders / 'absent',), 'absent.*data_prefix'),
        (FileNotFoundError, (folders, 'test'), 'test'),
        (ValueError, (folders / 'train', 'bee', None), 'one folder per class'),
        (ValueError, (folders, 'empty', None), r'no images in the 1 .*\.jpg'),
        (ValueError, (folders, 'val'), 'not a class of .*: dog'),
    ):
        with pytest.raises(error, match=message):
            ImageFolder(*arguments)


def test_extensions_can_be_chosen(folders):
    dataset = ImageFolder(folders, extensions=('.JPG',), on_bad='skip')
    assert len(dataset) == 1


def test_foreign_folders_are_not_classes(folders):
    for name in ('__MACOSX/ant/._1.png', 'ant/._1.png', '.cache/1.png'):
        write_images(folders / 'train', name)
    dataset = ImageFolder(folders)
    assert dataset.metainfo['classes'] == ('ant', 'bee', 'cat')
    assert len(dataset) == 4


def test_a_training_class_without_images_is_named(folders):
    write_images(folders, 'train/dog/1.gif')
    with pytest.raises(ValueError, match=r"without images.*dog \('\.gif'\)"):
        ImageFolder(folders)
    dataset = ImageFolder(folders, on_bad='skip')
    assert dataset.metainfo['classes'] == ('ant', 'bee', 'cat', 'dog')
    # Nothing is wrong with a validation split that lacks a class.
    (folders / 'val/dog').mkdir()
    assert len(ImageFolder(folders, 'val')) == 2


def test_links_are_followed_once(folders, tmp_path_factory):
    (folders / 'train/ant/latest').symlink_to('.')
    assert len(ImageFolder(folders)) == 4
    elsewhere = tmp_path_factory.mktemp('elsewhere')
    (folders / 'train/bee/3.png').rename(elsewhere / '3.png')
    (folders / 'train/bee/more').symlink_to(elsewhere)
    assert len(ImageFolder(folders)) == 4
    (folders / 'train/ant/dead.png').symlink_to('nothing')
    with pytest.raises(ValueError, match=r'dead\.png is a link to nothing'):
        ImageFolder(folders)
    assert len(ImageFolder(folders, on_bad='skip')) == 4


def test_spellings_of_a_name_are_one_class(folders):
    composed, decomposed = 'caf\u00e9', 'cafe\u0301'
    (folders / 'train/cat').rename(folders / 'train' / composed)
    (folders / 'val/cat').rename(folders / 'val' / decomposed)
    assert ImageFolder(folders, 'val').get_cat_ids(1) == [2]
    (folders / 'train' / decomposed).mkdir()
    with pytest.raises(ValueError, match='two folders for the class'):
        ImageFolder(folders)


def test_unreadable_images_are_named_and_can_be_skipped(folders):
    init_default_scope('mmpretrain')
    pipeline = [dict(type='LoadImageFromFile')]
    bad = folders / 'train/bee/3.png'
    bad.write_bytes(b'')
    with pytest.raises(ValueError, match=r'bee/3\.png is an empty file'):
        ImageFolder(folders)
    bad.write_bytes(b'<!DOCTYPE html>')
    dataset = ImageFolder(folders, pipeline=pipeline)
    with pytest.raises(ValueError, match=r'bee/3\.png cannot be loaded'):
        dataset[2]
    loader = DataLoader(dataset, num_workers=1, collate_fn=pseudo_collate)
    with pytest.raises(ValueError, match=r'bee/3\.png cannot be loaded'):
        list(loader)
    skipping = ImageFolder(folders, pipeline=pipeline, on_bad='skip')
    assert skipping[2]['img_path'].endswith('4.png')
    assert skipping[2]['gt_label'] == 2
    assert len(skipping) == 4
    with pytest.raises(ValueError, match="on_bad must be one of .*got 'no'"):
        ImageFolder(folders, on_bad='no')
