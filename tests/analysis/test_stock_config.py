# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Configs without masks, of the configs that we ship and of others."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mask_plugins.analysis.weights.stock_config import stock_config
from mask_plugins.analysis.weights.stock_heads import stock_state
from mask_plugins.apis.model import build_model
from mask_plugins.core.weights import merge_masks, named_masks

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [
    path
    for method in ('continuous_sparsification', 'self_masking')
    for path in sorted((ROOT / 'configs' / method).glob('*.py'))
    if path.stem.startswith(('cs_', 'cs-', 'smn_', 'smn-'))
]
# What may be left of ours: data sets and networks that are no masks.
PLAIN = {
    'CIFARResNet', 'Digits', 'ImageFolder', 'ZhouSplitDataset',
    'StratifiedSplit', 'SubsetByRandperm', 'ClassSubset',
    'TextPrototypeClsHead', 'PSSVisionTransformer', 'SwAV', 'SwAVHead',
    'ProjectionNeck', 'SelfSupValLoop', 'SelfSupTestLoop', 'KNNAccuracy',
    'RankMe',
}  # fmt: skip


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_no_mask_is_left_of_what_we_ship(path):
    cfg = Config.fromfile(path)
    before = str(cfg._cfg_dict)
    stock = stock_config(cfg)
    assert str(cfg._cfg_dict) == before
    left = {need.rpartition('.')[2] for need in stock.needs}
    assert left <= PLAIN
    text = str(stock.cfg._cfg_dict)
    for word in ('MaskedModel', 'SoftMask', 'ScoreMask', "'mask'"):
        assert word not in text
    assert 'optim_wrapper' not in stock.cfg


@pytest.mark.parametrize(
    'name',
    ['continuous_sparsification/cs_resnet20_1xb64-3x10e_digits',
     'continuous_sparsification/cs_vit-tiny_1xb32-2x20e_digits',
     'self_masking/smn_resnet18-narrow_1xb64-30e_digits'],
    ids=lambda name: name.rpartition('/')[2],
)  # fmt: skip
def test_merged_models_fit_their_stock_config(name, tmp_path):
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    path = tmp_path / 'stock.py'
    path.write_text(stock_config(cfg).text)
    stock = Config.fromfile(path)
    model = build_model(stock)
    assert next(named_masks(model), None) is None
    merged = merge_masks(build_model(cfg))
    model.load_state_dict(stock_state(merged))  # strict
    size = 24  # of the ViT; the convolutional ones take any
    images = torch.rand(2, 3, size, size)
    for either in (model, merged):
        either.eval()
    found, expected = (x(images, mode='tensor') for x in (model, merged))
    if not isinstance(found, torch.Tensor):
        found, expected = found[-1], expected[-1]
    assert torch.equal(found, expected)


def test_classes_and_wrapped_metrics(tmp_path):
    """New style configs have classes; an Evaluator has its metrics inside."""
    path = tmp_path / 'new_style.py'
    path.write_text(
        'from mmengine.config import read_base\n'
        'from mmpretrain.models import ImageClassifier, LinearClsHead\n'
        'from mmpretrain.models import ResNet, GlobalAveragePooling\n'
        'from mask_plugins.core.weights import SoftMask\n'
        'from mask_plugins.engine.hooks import SafeCheckpointHook\n'
        'from mask_plugins.engine.hooks import MaskReportHook\n'
        'from mask_plugins.evaluation.metrics import MaskDensity\n'
        'from mask_plugins.models.masked_model import build_masked_model\n'
        "default_scope = 'mmpretrain'\n"
        'custom_imports = dict(\n'
        "    imports=['mask_plugins.models', 'mmpretrain.models'])\n"
        'model = dict(\n'
        '    type=ImageClassifier,\n'
        '    backbone=dict(\n'
        '        type=build_masked_model,\n'
        '        module=dict(type=ResNet, depth=18),\n'
        '        mask=dict(type=SoftMask)),\n'
        '    neck=dict(type=GlobalAveragePooling),\n'
        '    head=dict(type=LinearClsHead, num_classes=3, in_channels=512))\n'
        'test_evaluator = dict(\n'
        "    type='Evaluator', metrics=[dict(type='Accuracy'),\n"
        '                               dict(type=MaskDensity)])\n'
        'default_hooks = dict(checkpoint=dict(type=SafeCheckpointHook),\n'
        '                     report=dict(type=MaskReportHook))\n'
    )
    stock = stock_config(Config.fromfile(path))
    assert stock.needs == []
    (tmp_path / 'stock.py').write_text(stock.text)
    cfg = Config.fromfile(tmp_path / 'stock.py')
    assert 'mask_plugins.' not in stock.text
    assert cfg.custom_imports.imports == ['mmpretrain.models']
    assert cfg.test_evaluator.metrics == [dict(type='Accuracy')]
    assert cfg.default_hooks == dict(checkpoint=dict(type='CheckpointHook'))
    assert type(build_model(cfg).backbone).__name__ == 'ResNet'


def test_soft_linear_layers_and_the_preprocessor():
    preprocessor = dict(type='ClsDataPreprocessor', mean=[1.0])
    linear = dict(
        type='mask_plugins.SoftMaskLinear', in_features=2, mask_init=0.1,
        ticket_scale='one',
    )  # fmt: skip
    model = dict(
        type='mask_plugins.MaskedModel', data_preprocessor=preprocessor,
        module=dict(type='X', fc=linear),
    )  # fmt: skip
    assert stock_config(Config(dict(model=model))).cfg.model == dict(
        type='X',
        fc=dict(type='torch.nn.Linear', in_features=2),
        data_preprocessor=preprocessor,
    )
