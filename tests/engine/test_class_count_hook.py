# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Classes of data and model are compared before training."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from torch import nn

from mask_plugins.engine.hooks import ClassCountHook
from mask_plugins.engine.hooks.class_count_hook import check_same_numbers
from mask_plugins.registry import DATASETS

from .feature_runs import build

HOOK = dict(type='mask_plugins.ClassCountHook')


@pytest.mark.parametrize('holder', ['model.head', 'data_preprocessor'])
def test_too_few_are_an_error(tmp_path, holder):
    runner = build(tmp_path, [HOOK], **{f'{holder}.num_classes': 4})
    name = holder.replace('model.', '')
    message = rf'has 10 classes \(0, 1.*the model has {name}.num_classes=4'
    with pytest.raises(ValueError, match=message):
        runner.train()


def warnings_of(dataset, **counts):
    """What the hook says of a model with these numbers of classes."""
    model = nn.ModuleDict({name: nn.Identity() for name in counts})
    for name, count in counts.items():
        model[name].num_classes = count
    said = []
    runner = SimpleNamespace(
        model=model,
        train_dataloader=SimpleNamespace(dataset=dataset),
        val_loop=None,
        logger=SimpleNamespace(warning=said.append),
    )
    ClassCountHook().before_train(runner)
    return said


def labeled(names, labels):
    return SimpleNamespace(
        metainfo=dict(classes=names), get_gt_labels=lambda: labels
    )


def test_too_many_are_a_warning():
    (said,) = warnings_of(labeled('abc', [0, 1, 2]), head=10)
    assert '3 classes (a, b, c)' in said
    assert 'head.num_classes=10' in said


@pytest.mark.parametrize(
    ('dataset', 'counts'),
    [
        (labeled('abc', [0, 1, 2]), dict(head=3, data_preprocessor=3)),
        # A subset that has renumbered its labels and kept all names.
        (labeled('abcde', [0, 1, 0]), dict(head=2)),
        (SimpleNamespace(), dict(head=2)),
        (labeled('abc', [0, 1, 2]), dict(backbone=2)),
    ],
)
def test_what_fits_is_silent(dataset, counts):
    if counts.get('head') == 2 and hasattr(dataset, 'metainfo'):
        (said,) = warnings_of(dataset, head=6)
        assert '5 classes' in said
    assert warnings_of(dataset, **counts) == []


def test_a_name_of_two_classes_is_no_fault():
    twice = labeled(('crane', 'bee', 'crane'), [0, 1, 2])
    check_same_numbers(twice.metainfo['classes'], twice)
    other = labeled(('crane', 'crane', 'bee'), [0, 1, 2])
    with pytest.raises(ValueError, match="'crane' has the number 0"):
        check_same_numbers(twice.metainfo['classes'], other)


def test_folders_that_are_numbered_for_each_set_alone(tmp_path):
    for clip in ('train/a/v', 'train/b/v', 'train/c/v', 'val/b/v', 'val/c/v'):
        (tmp_path / clip).mkdir(parents=True)
        for frame in range(2):
            image = np.zeros((8, 8, 3), np.uint8)
            cv2.imwrite(str(tmp_path / clip / f'{frame}.png'), image)
    clips = dict(
        type='mask_plugins.VideoClips', clip_len=2, label_from_folder=True
    )
    options = {
        'train_dataloader.dataset': {
            **clips, 'data_root': str(tmp_path / 'train'), '_delete_': True
        },
        'val_dataloader.dataset': {
            **clips, 'data_root': str(tmp_path / 'val'), '_delete_': True
        },
    }  # fmt: skip
    runner = build(tmp_path / 'run', [HOOK], **options)
    with pytest.raises(ValueError, match=r"class 'b' has the number 1 in tr"):
        runner.train()


@pytest.mark.parametrize(
    ('wrapper', 'classes'),
    [
        (dict(type='mask_plugins.ClassSplit', part='train'), 5),
        (dict(type='mask_plugins.TaskSplit', tasks=2), 10),
    ],
)
def test_retrieval_and_continual_learning(wrapper, classes):
    digits = dict(type='mask_plugins.Digits', split='train')
    dataset = DATASETS.build(dict(wrapper, dataset=digits))
    assert warnings_of(dataset, head=classes) == []
