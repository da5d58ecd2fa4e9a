# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Mmpretrain's own entry points take our configs and metafiles."""

import hashlib

import numpy as np
import pytest
import torch
import yaml
from mmengine.dataset import pseudo_collate
from mmpretrain.apis import (
    ImageClassificationInferencer,
    ModelHub,
    get_model,
    init_model,
    list_models,
)

import mask_plugins as mp
from mask_plugins.apis.data import build_test_set
from mask_plugins.registry import METRICS

from ..small_run import QUICKSTART


@pytest.fixture
def hub():
    """Mmpretrain's table of models, with ours added for one test."""
    before = dict(ModelHub._models_dict)
    yield mp.register_models()
    ModelHub._models_dict.clear()
    ModelHub._models_dict.update(before)


def test_init_model():
    model = init_model(str(QUICKSTART), device='cpu')
    assert type(model.backbone).__name__ == 'PSSVisionTransformer'
    assert not model.training
    size = model.backbone.img_size
    with torch.no_grad():
        (feature,) = model.extract_feat(torch.zeros(2, 3, *size))
    assert feature.shape[0] == 2


def test_inferencer():
    inferencer = ImageClassificationInferencer(str(QUICKSTART), device='cpu')
    image = np.full((24, 24, 3), 100, np.uint8)
    first, second = inferencer([image, image], batch_size=2)
    assert first['pred_scores'].shape == (10,)
    assert first['pred_label'] == second['pred_label']


def test_list_models(hub):
    ours = {name for name in list_models() if name.startswith('pss_')}
    metafile = QUICKSTART.with_name('metafile.yml').read_text()
    metafile = yaml.safe_load(metafile)
    assert ours == {model['Name'] for model in metafile['Models']}
    assert list_models('pss_vit-tiny*cyclic*digits')


def test_get_model_by_name(hub):
    model = get_model(QUICKSTART.stem, pretrained=False)
    assert type(model.backbone).__name__ == 'PSSVisionTransformer'


def test_weights_of_the_package(hub):
    """Nothing is fetched; registering twice changes nothing."""
    assert mp.register_models() == hub
    assert QUICKSTART.stem in hub
    for name in hub:
        about = ModelHub.get(name)
        data, path = about.metadata.data, about.weights
        with open(path, 'rb') as file:
            found = hashlib.sha256(file.read()).hexdigest()
        assert found == data['Weights SHA-256']
        model = get_model(name, pretrained=True).eval()
        dataset = build_test_set(about.config, model)
        batch = pseudo_collate([dataset[i] for i in range(len(dataset))])
        with torch.no_grad():
            scores = model.test_step(batch)
        right = [int(s.pred_label == s.gt_label) for s in scores]
        accuracy = 100 * sum(right) / len(right)
        assert abs(accuracy - data['Weights Top 1 Accuracy']) < 0.6


def test_what_is_masked_in_the_weights_of_the_package(hub):
    ticket = get_model('cs_resnet8_1xb64-3x10e_digits', pretrained=True)
    report = mp.mask_report(ticket)
    assert 100 * (1 - report.density) == pytest.approx(90.13, abs=0.01)
    name = 'pass-stream_resnet8_1xb1_synthetic-32px'
    model = get_model(name, pretrained=True).eval()
    dataset = build_test_set(ModelHub.get(name).config)
    with torch.no_grad():
        streams = model.test_step(pseudo_collate([dataset[0], dataset[1]]))
    metric = METRICS.build(dict(type='mask_plugins.SkipRatio'))
    metric.process(None, [one.to_dict() for one in streams])
    found = metric.evaluate(len(streams))
    assert 0.2 < found['stream/skip_ratio'] < 0.5
    assert found['stream/agreement'] > 90
