# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Classes of data and model are compared before training."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from mask_plugins.datasets.class_numbers import check_same_numbers
from mask_plugins.engine.hooks import ClassCountHook
from mask_plugins.evaluation.metrics import RetrievalMetrics
from mask_plugins.registry import DATASETS, HOOKS, METRICS

from .feature_runs import build

HOOK = dict(type='mask_plugins.ClassCountHook')


@pytest.mark.parametrize('holder', ['model.head', 'data_preprocessor'])
def test_too_few_are_an_error(tmp_path, holder):
    runner = build(tmp_path, [HOOK], **{f'{holder}.num_classes': 4})
    name = holder.replace('model.', '')
    message = rf'has 10 classes \(0, 1.*the model has {name}.num_classes=4'
    with pytest.raises(ValueError, match=message):
        runner.train()


@HOOKS.register_module(force=True)
class WrongLabelHook(Hook):
    """A label of the second batch is one that no class has."""

    priority = 'HIGHEST'

    def __init__(self, label):
        self.label = label

    def before_train(self, runner):
        dataset = runner.train_dataloader.dataset
        dataset.metainfo.clear()  # it does not tell its classes

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 1:
            data_batch['data_samples'][2].set_gt_label(self.label)


@pytest.mark.parametrize(
    ('label', 'message'),
    [
        (10, r'gt_label of train_.*\(for .*head\).* got 10 in row 2'),
        (-1, r'classes in \[0, 9\], got -1'),
        (torch.tensor([0.5]), 'must be int64, got torch.float32'),
    ],
)
def test_labels_of_each_batch(tmp_path, label, message):
    """Of any head, before they are on a device."""
    wrong = dict(type='mask_plugins.WrongLabelHook', label=label)
    with pytest.raises((TypeError, ValueError), match=message) as error:
        build(tmp_path, [HOOK, wrong]).train()
    frames = [entry.name for entry in error.traceback]
    assert 'train_step' not in frames


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
        _resume=False,
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
    twice = ('crane', 'bee', 'crane')
    assert check_same_numbers(twice, twice, 'train', 'val') == []
    with pytest.raises(ValueError, match="'crane' has the number 0 in train"):
        check_same_numbers(twice, ('crane', 'crane', 'bee'), 'train', 'val')


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


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A checkpoint that knows ten digits by name."""
    folder = tmp_path_factory.mktemp('trained')
    build(folder, [HOOK], **{'train_cfg.max_epochs': 1}).train()
    return str(folder / 'epoch_1.pth')


def judge(loop, folder, checkpoint, classes, said=None, **changes):
    """Validate or test on some classes, as `tools/test.py` does."""
    names = [str(number) for number in range(10)]
    key = f'{loop}_dataloader.dataset.metainfo.classes'
    options = {key: classes or names, 'load_from': checkpoint, **changes}
    runner = build(folder, [HOOK], **options)
    if said is not None:
        runner.logger.warning = said.append
    return getattr(runner, loop)()


@pytest.mark.parametrize('loop', ['val', 'test'])
def test_a_checkpoint_of_other_numbers(trained, tmp_path, loop):
    swapped = ['1', '0', *'23456789']
    where = rf"'1' has the number 1 in the checkpoint and 0 in {loop}_dataload"
    with pytest.raises(ValueError, match=where):
        judge(loop, tmp_path / 'a', trained, swapped)
    said = []
    judge(loop, tmp_path / 'b', trained, [*'012345678', 'nine'], said)
    assert any('1 classes that the checkpoint was not' in s for s in said)
    said = []
    judge(loop, tmp_path / 'c', trained, None, said)
    assert not any('checkpoint' in s for s in said)


def test_metrics_that_ask_for_no_number():
    loop = SimpleNamespace(
        dataloader=SimpleNamespace(dataset=labeled(['1', '0'], [0, 1])),
        evaluator=SimpleNamespace(metrics=[RetrievalMetrics()]),
    )
    hook = ClassCountHook()
    hook.loaded = ('0', '1')
    hook.before_test(SimpleNamespace(test_loop=loop))
    loop.evaluator.metrics.append(METRICS.build(dict(type='Accuracy')))
    with pytest.raises(ValueError, match="'1' has the number 1 in the check"):
        hook.before_test(SimpleNamespace(test_loop=loop))


def test_a_resumed_run_whose_classes_moved(trained, tmp_path):
    classes = 'train_dataloader.dataset.metainfo.classes'
    swapped = {classes: ['1', '0', *'23456789']}
    same = {'val_dataloader.dataset.metainfo.classes': swapped[classes]}
    options = {**swapped, **same, 'load_from': trained}
    build(tmp_path / 'a', [HOOK], **options).train()  # another task
    with pytest.raises(ValueError, match='1 in train_dataloader and 0 in the'):
        build(tmp_path / 'b', [HOOK], resume=True, **options).train()
