# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Trained masks as stock checkpoints, in mmdet and mmseg without us."""

import pytest
import torch

from tests.common.equal import assert_equal
from tests.common.processes import ROOT, run_python

from . import runs

pytestmark = [pytest.mark.mmdet, pytest.mark.slow]
WITHOUT_US = "import sys; sys.modules['mask_plugins'] = None\n"
# init_detector and init_model change config.model.backbone, which a wrapper
# does not have.
WITH_US = """
import sys
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint

def init(path, checkpoint, device):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    saved = load_checkpoint(model, checkpoint, map_location=device)
    model.cfg, model.dataset_meta = cfg, saved['meta']['dataset_meta']
    return model.eval()

import {0}.apis
{0}.apis.{1} = init
"""
PREDICT = dict(
    mmdet="""
import sys, torch
from mmdet.apis import inference_detector, init_detector
config, checkpoint, out, *images = sys.argv[1:]
model = init_detector(config, checkpoint, device='cpu')
found = [x.pred_instances for x in inference_detector(model, images)]
torch.save([dict(x.items()) for x in found], out)
""",
    mmseg="""
import sys, torch
from mmseg.apis import inference_model, init_model
config, checkpoint, out, *images = sys.argv[1:]
model = init_model(config, checkpoint, device='cpu')
found = [inference_model(model, image) for image in images]
torch.save([dict(logits=x.seg_logits.data) for x in found], out)
""",
)


def predict(config, checkpoint, shapes, out, ours):
    """What the project's own API predicts of the validation images."""
    project = runs.project_of(config.stem) if ours else None
    if project is None:
        text = config.read_text()
        project = 'mmdet' if "default_scope = 'mmdet'" in text else 'mmseg'
    folder = shapes / ('coco' if project == 'mmdet' else 'city')
    images = sorted(folder.glob('*val*/*.jpg')) or sorted(
        folder.glob('leftImg8bit/val/*/*.png')
    )
    init = 'init_detector' if project == 'mmdet' else 'init_model'
    start = WITH_US.format(project, init) if ours else WITHOUT_US
    code = start + PREDICT[project]
    runs.python(code, config, checkpoint, out, *images)
    found = torch.load(out, weights_only=True)
    assert len(found) == 4
    return found


def tool(name, *args):
    path = ROOT / 'tools/weights' / f'{name}.py'
    return run_python(path, *args, env=runs.environ())


def last_of(folder):
    return folder / (folder / 'last_checkpoint').read_text().split('/')[-1]


@pytest.mark.parametrize(
    'name',
    [
        'cs_retinanet-r18_1xb8-3x12e_coco',
        'smn_retinanet-r18_1xb8-12e_coco',
        'cs_fcn-r18_4xb2-3x36e_cityscapes',
        'smn_fcn-r18_4xb2-80k_cityscapes',
    ],
)
def test_merged_predicts_the_same(name, trained, shapes, tmp_path):
    config, folder = trained(name)
    checkpoint, stock = last_of(folder), tmp_path / 'stock.pth'
    tool('merge_masks', config, checkpoint, '--out', stock)
    masked = predict(config, checkpoint, shapes, tmp_path / 'masked.pt', True)
    plain = predict(
        stock.with_suffix('.py'), stock, shapes, tmp_path / 'stock.pt', False
    )
    for one, other in zip(plain, masked):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert len(value)
            torch.testing.assert_close(value, other[key])
    # Weights are off, but not all.
    state = torch.load(stock, weights_only=True)['state_dict']
    weight = state['backbone.layer4.0.conv2.weight']
    assert 0.1 < weight.ne(0).float().mean() < 0.95
    assert not [key for key in state if 'mask' in key]


def test_an_adapter_on_the_frozen_base_is_the_merged_model(trained, tmp_path):
    config, folder = trained('smn_retinanet-r18_1xb8-12e_coco')
    checkpoint = last_of(folder)
    state, _ = runs.weights_of(checkpoint)
    base = {k: v for k, v in state.items() if '_mask.' not in k}
    torch.save(dict(state_dict=base), tmp_path / 'base.pth')
    adapter, applied = tmp_path / 'shapes.safetensors', tmp_path / 'on.pth'
    tool('export_masks', config, checkpoint, '--out', adapter)
    tool(
        'apply_masks', config, tmp_path / 'base.pth', adapter, '--out', applied
    )
    tool('merge_masks', config, checkpoint, '--out', tmp_path / 'merged.pth')
    found, expected = (
        torch.load(tmp_path / file, weights_only=True)['state_dict']
        for file in ('on.pth', 'merged.pth')
    )
    assert found.keys() == expected.keys()
    assert_equal(dict(found), dict(expected))
    assert adapter.stat().st_size < checkpoint.stat().st_size / 8


def test_a_distilled_student_is_a_stock_segmentor(trained, shapes, tmp_path):
    config, folder = trained('kd_fcn-r18_4xb2-80k_cityscapes')
    checkpoint, stock = last_of(folder), tmp_path / 'student.pth'
    tool('extract_student', config, checkpoint, '--out', stock)
    ours = predict(config, checkpoint, shapes, tmp_path / 'ours.pt', True)
    plain = predict(
        stock.with_suffix('.py'), stock, shapes, tmp_path / 'stock.pt', False
    )
    assert_equal(plain, ours)
