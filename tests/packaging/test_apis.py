# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Mmpretrain's own entry points take our configs and metafiles."""

import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from mmpretrain.apis import (
    ImageClassificationInferencer,
    ModelHub,
    get_model,
    init_model,
    list_models,
)

NAME = 'pss_vit-tiny_1xb16-magnitude-cyclic-80-0-30e_digits'


@pytest.fixture
def config(repo_root):
    return str(repo_root / 'configs' / 'pss' / f'{NAME}.py')


@pytest.fixture
def hub(repo_root):
    """Mmpretrain's table of models, with ours added for one test."""
    before = dict(ModelHub._models_dict)
    ModelHub.register_model_index(
        repo_root / 'model-index.yml', config_prefix=repo_root
    )
    yield
    ModelHub._models_dict.clear()
    ModelHub._models_dict.update(before)


def test_init_model(config):
    model = init_model(config, device='cpu')
    assert type(model.backbone).__name__ == 'PSSVisionTransformer'
    assert not model.training
    size = model.backbone.img_size
    with torch.no_grad():
        (feature,) = model.extract_feat(torch.zeros(2, 3, *size))
    assert feature.shape[0] == 2


def test_inferencer(config):
    inferencer = ImageClassificationInferencer(config, device='cpu')
    image = np.full((24, 24, 3), 100, np.uint8)
    first, second = inferencer([image, image], batch_size=2)
    assert first['pred_scores'].shape == (10,)
    assert first['pred_label'] == second['pred_label']


def test_list_models(hub, repo_root):
    ours = {name for name in list_models() if name.startswith('pss_')}
    metafile = yaml.safe_load(
        (repo_root / 'configs' / 'pss' / 'metafile.yml').read_text()
    )
    assert ours == {model['Name'] for model in metafile['Models']}
    assert list_models('pss_vit-tiny*cyclic*digits')


def test_get_model_by_name(hub):
    model = get_model(NAME, pretrained=False)
    assert type(model.backbone).__name__ == 'PSSVisionTransformer'


def test_metafiles_name_configs_that_exist(repo_root):
    index = yaml.safe_load((repo_root / 'model-index.yml').read_text())
    for metafile in index['Import']:
        models = yaml.safe_load((repo_root / metafile).read_text())['Models']
        for model in models:
            assert (repo_root / model['Config']).is_file()
            if any(name in model['Name'] for name in ('mmdet', 'mmseg')):
                continue  # bases of projects that are not installed here
            cfg = Config.fromfile(repo_root / model['Config'])
            assert cfg.model.type
            assert model['Config'].endswith(f'/{model["Name"]}.py')
