# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the tools bake is tested by mmpretrain where this package is not.

Masked models are trained by mim on images of digits, exported, applied to
their base; then ``mim test mmpretrain`` tests the result in an environment
that has mmpretrain and everything else, but no mask_plugins.
"""

import json
import pickle
import sys

import cv2
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from ..common.processes import run
from .conftest import make_environment

STOCK = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR', depth=18, stem_channels=16, base_channels=16,
        num_stages=2, out_indices=(1,), strides=(1, 2), dilations=(1, 1),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=32),
)
data_preprocessor = dict(num_classes=10, mean=[77.8] * 3, std=[95.9] * 3)
pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
images = dict(type='CustomDataset', data_root={root!r}, pipeline=pipeline)
train_dataloader = dict(
    batch_size=20,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(images, data_prefix='train'),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
test_dataloader = dict(
    batch_size=100,
    num_workers=0,
    dataset=dict(images, data_prefix='test'),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_evaluator = dict(type='Accuracy', topk=(1,))
test_cfg = dict()
train_cfg = dict(by_epoch=True, max_epochs=8)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=0.01))
default_hooks = dict(
    checkpoint=dict(type='mask_plugins.SafeCheckpointHook', interval=8)
)
randomness = dict(seed=0)
"""
# Weights and soft masks are trained together: a round, then its ticket.
SOFT = """
_base_ = 'stock.py'
model = dict(
    backbone=dict(
        conv_cfg=dict(type='mask_plugins.SoftMaskConv2d', mask_init=0.05)
    )
)
custom_hooks = [dict(type='mask_plugins.MaskReportHook', picture_interval=0)]
default_hooks = dict(
    sparsification=dict(
        type='mask_plugins.ContinuousSparsificationHook',
        rounds=1, epochs_per_round=4, ticket_epochs=4, rewind_epoch=1,
        final_temperature=100.0,
    )
)
"""
# The base is loaded and frozen; scores and the head are trained.
SCORE = """
_base_ = 'stock.py'
model = dict(
    _delete_=True,
    type='mask_plugins.MaskedModel',
    module={{{{_base_.model}}}},
    rules=[('*conv*.weight', 'mask'), ('head.*', 'train'), ('*', 'freeze')],
    mask=dict(type='mask_plugins.ScoreMask'),
)
load_from = {base!r}
optim_wrapper = dict(optimizer=dict(lr=0.04))
custom_hooks = [dict(type='mask_plugins.MaskReportHook', picture_interval=0)]
test_evaluator = [
    dict(type='Accuracy', topk=(1,)),
    dict(type='mask_plugins.MaskDensity'),
]
"""


def write_images(folder):
    """Digits as PNG files: 60 per class to train on, 20 to test."""
    images, labels = load_digits(return_X_y=True)
    for digit in range(10):
        own = images[labels == digit][:80].reshape(-1, 8, 8)
        for number, image in enumerate(own):
            part = folder / ('test' if number >= 60 else 'train') / str(digit)
            part.mkdir(parents=True, exist_ok=True)
            image = (image * 255 / 16).round().astype(np.uint8)
            image = cv2.resize(image, (16, 16))
            cv2.imwrite(str(part / f'{number:02}.png'), image)


def mim(python, *command, cwd):
    return run(python, '-m', 'mim', *command, cwd=cwd)


def mim_test(python, package, config, checkpoint, folder):
    """Accuracy and scores that ``mim test`` finds."""
    folder.mkdir()
    mim(
        python, 'test', package, config, '--checkpoint', checkpoint,
        '--work-dir', folder, '--out', folder / 'predictions.pkl',
        cwd=folder,
    )  # fmt: skip
    (log,) = folder.glob('*/[0-9]*.json')
    accuracy = json.loads(log.read_text().splitlines()[-1])['accuracy/top1']
    predictions = pickle.loads((folder / 'predictions.pkl').read_bytes())
    return accuracy, torch.stack([p['pred_score'] for p in predictions])


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['soft', 'score'])
def test_apply_masks_output_needs_no_plugin(kind, tmp_path):
    write_images(tmp_path / 'images')
    stock = tmp_path / 'stock.py'
    stock.write_text(STOCK.format(root=str(tmp_path / 'images')))
    python = sys.executable

    def train(name):
        mim(python, 'train', 'mask_plugins', tmp_path / f'{name}.py',
            '--work-dir', tmp_path / name, cwd=tmp_path)  # fmt: skip
        return tmp_path / name / 'epoch_8.pth'

    config = tmp_path / f'{kind}.py'
    if kind == 'soft':
        config.write_text(SOFT)
        base = checkpoint = train('soft')  # weights and masks are trained
    else:
        base = train('stock')
        config.write_text(SCORE.format(base=str(base)))
        checkpoint = train('score')
    accuracy, scores = mim_test(
        python, 'mask_plugins', config, checkpoint, tmp_path / 'masked'
    )
    assert accuracy > 50  # the comparison is not one of guesses
    adapter = tmp_path / 'task.safetensors'
    mim(python, 'run', 'mask_plugins', 'export_masks', config, checkpoint,
        '--out', adapter, cwd=tmp_path)  # fmt: skip
    out = tmp_path / 'out' / 'task.pth'
    printed = mim(python, 'run', 'mask_plugins', 'apply_masks', config, base,
                  adapter, '--out', out, cwd=tmp_path)  # fmt: skip
    assert 'needs mask_plugins' not in printed
    assert f'mim test mmpretrain {out.with_suffix(".py")}' in printed

    env = make_environment(tmp_path / 'venv')
    code = 'import mmpretrain, mask_plugins'
    said = run(env.python, '-c', code, cwd=tmp_path, code=1)
    assert "No module named 'mask_plugins'" in said
    found, found_scores = mim_test(
        env.python, 'mmpretrain', out.with_suffix('.py'), out,
        tmp_path / 'without',
    )  # fmt: skip
    report = json.loads(out.with_suffix('.json').read_text())
    assert 0.02 < report['sparsity'] < 0.9  # and the masks do something
    if kind == 'score':  # the metric under `mim test`
        (log,) = (tmp_path / 'masked').glob('*/[0-9]*.json')
        metrics = json.loads(log.read_text().splitlines()[-1])
        assert metrics['mask/density'] == report['density']
    assert found == accuracy
    assert torch.equal(found_scores, scores)
