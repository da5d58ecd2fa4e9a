# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What docs/mmdet.md and docs/mmseg.md tell to paste has its effect."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mask_plugins.core.weights import named_masks
from tests.common.processes import ROOT

from . import runs

pytestmark = pytest.mark.mmdet


def blocks(page):
    text = (ROOT / 'docs' / f'{page}.md').read_text(encoding='utf-8')
    assert len(text.splitlines()) <= 80
    return re.findall(r'```python\n(.*?)```', text, re.S)


def trained(code, shapes, tmp_path):
    """The runner after two iterations of a pasted config."""
    cfg = runs.small(Config.fromstring(code, '.py'), shapes)
    cfg.work_dir = str(tmp_path)
    for split in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            cfg.pop(f'{split}_{part}')
    cfg.train_cfg = dict(by_epoch=False, max_iters=2)
    cfg.default_hooks.logger.interval = 1
    runner = Runner.from_cfg(cfg)
    runner.train()
    losses = runner.message_hub.get_scalar('train/loss').data[0]
    assert torch.tensor(losses).isfinite().all()
    return runner


def values(runner, name):
    return list(runner.message_hub.get_scalar(f'train/{name}').data[0])


@pytest.mark.parametrize('number', [0, 1])
def test_masks_in_mmdet(number, shapes, tmp_path):
    pytest.importorskip('mmdet')
    code = blocks('mmdet')[number]
    before = runs.build(runs.small(Config.fromstring(code, '.py'), shapes))
    runner = trained(code, shapes, tmp_path)
    masks = list(named_masks(runner.model))
    assert len(masks) == (20 if number == 0 else 16)
    if number == 0:
        moved = [item.mask.logits.any() for item in masks]
    else:
        first = {x.name: x.mask.scores for x in named_masks(before)}
        assert first.keys() == {item.name for item in masks}
        # At the first and the second of two iterations.
        assert values(runner, 'keep_ratio') == [1.0, 0.75]
        assert not any(item.parameter.requires_grad for item in masks)
        moved = [
            not item.mask.scores.equal(first[item.name]) for item in masks
        ]
    assert all(moved)


def test_gates_in_mmdet(shapes):
    pytest.importorskip('mmdet')
    *_, code = blocks('mmdet')
    name = 'smn_retinanet-r18_1xb8-12e_coco'
    cfg = runs.small(runs.load(name), shapes)
    cfg.model = runs.inner(cfg.model)
    detector = runs.build(cfg).eval()
    frame = torch.randn(1, 3, 64, 64)
    found = dict(detector=detector, frames=[frame, frame])
    exec(code, found)
    assert found['extractor'].session.states['camera 0'].skip_ratio() > 0.4
    with torch.no_grad():
        expected = detector.bbox_head(found['feats'])
    for one, other in zip(found['boxes'], expected):
        for part, same in zip(one, other):
            torch.testing.assert_close(part, same)


def test_tokens_in_mmseg(shapes, tmp_path):
    pytest.importorskip('mmseg')
    runner = trained(blocks('mmseg')[0], shapes, tmp_path)
    backbone = runner.model.backbone
    assert (backbone.dropped, backbone.return_after) == ('keep', 8)
    # Of a period of 4.
    assert values(runner, 'patch_drop_ratio') == [0.8, 0.4]


def test_distillation_in_mmseg(shapes, tmp_path):
    pytest.importorskip('mmseg')
    runner = trained(blocks('mmseg')[1], shapes, tmp_path)
    for name in ('loss_kd_0', 'loss_kd_1', 'decode.loss_ce'):
        assert len(values(runner, name)) == 2
    assert values(runner, 'loss_kd_0')[0] > 0
    assert -1 <= values(runner, 'loss_kd_1')[0] <= 1
