# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The shipped configs of mmdet and mmseg resolve and build."""

import pytest

from mask_plugins.core.weights import named_masks
from mask_plugins.models.backbones.token_sampler import SampledBackbone
from mask_plugins.models.distilled_model import DistilledModel
from mask_plugins.models.teachers import FrozenTeacher
from tests.configs.configs import EXTERNAL, EXTERNAL_BASES, identify, load

from . import runs

NAMES = [
    'cs_retinanet-r18_1xb8-3x12e_coco',
    'pss_retinanet-vit-small_1xb8-12e_coco',
    'smn_retinanet-r18_1xb8-12e_coco',
    'cs_fcn-r18_4xb2-3x36e_cityscapes',
    'kd_fcn-r18_4xb2-80k_cityscapes',
    'pss_fcn-vit-small_4xb2-80k_cityscapes',
    'smn_fcn-r18_4xb2-80k_cityscapes',
]


def test_all_are_known_as_configs_of_other_projects():
    assert [path.stem for path in EXTERNAL] == NAMES
    assert len(EXTERNAL_BASES) == 2


@pytest.mark.mmdet
@pytest.mark.parametrize('path', EXTERNAL_BASES + EXTERNAL, ids=identify)
def test_hooks_and_pipelines(path):
    pytest.importorskip(path.parent.name)
    cfg = load(path.stem)
    assert cfg.default_scope == path.parent.name
    loader = cfg.train_dataloader
    assert loader.dataset.pipeline == cfg.train_pipeline
    assert cfg.train_pipeline[0].type == 'mask_plugins.SeedSample'
    hooks = [*cfg.default_hooks.values(), *cfg.custom_hooks]
    kinds = {hook.type for hook in hooks}
    for kind in ('SafeCheckpointHook', 'PreemptionHook', 'SeedHook'):
        assert f'mask_plugins.{kind}' in kinds
    assert cfg.randomness.seed == 0


@pytest.mark.mmdet
@pytest.mark.parametrize('path', EXTERNAL, ids=identify)
def test_models_have_what_their_names_say(path, shapes):
    pytest.importorskip(path.parent.name)
    cfg = runs.small(load(path.stem), shapes)
    model = runs.build(cfg)
    masks = {item.name for item in named_masks(model)}
    convs = {
        f'{name}.weight'
        for name, module in model.backbone.named_modules(prefix='backbone')
        if hasattr(module, 'kernel_size') and hasattr(module, 'weight')
    }
    method = path.stem.partition('_')[0]
    if method == 'cs':
        assert masks == convs
        assert len(masks) >= 20
    elif method == 'smn':
        # The stem of mmseg's ResNetV1c is a sequence of convolutions.
        assert len(masks) >= 19
        assert masks <= convs
        trained = {k for k, p in model.named_parameters() if p.requires_grad}
        frozen = {k for k in trained if k.startswith('backbone.')}
        assert all(key.endswith('_mask.scores') for key in frozen)
        assert any('head.' in key for key in trained)
    elif method == 'kd':
        assert isinstance(model, DistilledModel)
    else:
        assert isinstance(model.backbone, SampledBackbone)
        assert model.backbone.dropped == 'keep'


@pytest.mark.mmdet
def test_the_teacher_by_the_name_of_a_config_of_mmseg():
    torch = pytest.importorskip('torch')
    pytest.importorskip('mmseg')
    cfg = load('kd_fcn-r18_4xb2-80k_cityscapes')
    options = dict(cfg.model.teacher)
    assert options.pop('type') == 'mask_plugins.FrozenTeacher'
    with torch.device('meta'):
        network = FrozenTeacher(**options)._build(None)
    assert network.backbone.depth == 50
    channels = network.backbone.layer4[-1].conv3.out_channels
    assert cfg.model.losses[1].channels[1] == channels
