# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Any folders of images, through the base config that feeds them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from mask_plugins.datasets import ImageFolder

BASE = Path(__file__).parents[2] / 'configs/_base_/datasets/folder_bs64_224.py'


@pytest.fixture
def folders(tmp_path):
    """Three classes; `bee` has no validation image."""
    rng = np.random.default_rng(0)
    for name in (
        'train/ant/1.png',
        'train/ant/deep/2.JPG',
        'train/bee/3.png',
        'train/cat/4.png',
        'train/cat/notes.txt',
        'val/ant/5.png',
        'val/cat/6.png',
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == '.txt':
            path.write_text('not an image')
            continue
        pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return tmp_path


def test_labels_are_those_of_the_training_folders(folders):
    train = ImageFolder(str(folders))
    assert train.metainfo['classes'] == ('ant', 'bee', 'cat')
    assert train.CLASSES == ('ant', 'bee', 'cat')
    found = [
        (Path(train.get_data_info(i)['img_path']).name, label)
        for i, label in enumerate(
            train.get_data_info(i)['gt_label'] for i in range(len(train))
        )
    ]
    assert found == [
        ('1.png', 0), ('2.JPG', 0), ('3.png', 1), ('4.png', 2)
    ]  # fmt: skip
    val = ImageFolder(str(folders), 'val')
    assert [val.get_cat_ids(i) for i in range(len(val))] == [[0], [2]]
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
    with pytest.raises(FileNotFoundError, match=r'absent.*train/ and val/'):
        ImageFolder(str(folders / 'absent'))
    with pytest.raises(FileNotFoundError, match='test'):
        ImageFolder(str(folders), 'test')
    with pytest.raises(ValueError, match='one folder per class'):
        ImageFolder(str(folders / 'train'), 'bee', class_prefix=None)
    (folders / 'empty/a').mkdir(parents=True)
    with pytest.raises(ValueError, match=r'no images in the 1 .*\.jpg'):
        ImageFolder(str(folders), 'empty', class_prefix=None)
    (folders / 'val/dog').mkdir()
    with pytest.raises(ValueError, match=r'no class of .*: dog'):
        ImageFolder(str(folders), 'val')


def test_extensions_can_be_chosen(folders):
    dataset = ImageFolder(str(folders), extensions=('.JPG',))
    assert len(dataset) == 1
