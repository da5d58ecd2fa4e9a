# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Features of a whole data set, each sample once and in its place."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mask_plugins.apis.data import build_test_loader, build_test_set
from mask_plugins.apis.features import (
    batch_features,
    build_train_set,
    extract_features,
    load_feature_model,
)
from mask_plugins.apis.preprocess import preprocess
from mask_plugins.functional.feature_vectors import features_of
from mask_plugins.registry import DATASETS, MODELS
from tests.evaluation.models import BEIT, RESNET, write_model

PIPELINE = [dict(type='RandomFlip', prob=1.0), dict(type='PackInputs')]
DIGITS = dict(
    type='mask_plugins.Digits', split='train', image_size=16, indices=40,
    pipeline=PIPELINE,
)  # fmt: skip
TRAIN = dict(dataset=dict(type='RepeatDataset', times=1, dataset=DIGITS))


@pytest.fixture(scope='module', params=['RESNET', 'BEIT'])
def model(request, tmp_path_factory):
    backbone = dict(RESNET=RESNET, BEIT=BEIT)[request.param]
    folder = tmp_path_factory.mktemp('model')
    config, checkpoint = write_model(folder, backbone)
    cfg = Config.fromfile(config)
    return cfg, load_feature_model(cfg, checkpoint, 'cpu')


@pytest.mark.parametrize('layer', ['backbone', 'neck', 'pre_logits'])
def test_features_are_what_the_head_gets(model, layer):
    cfg, model = model
    dataset = build_test_set(cfg)
    model.backbone.train()
    loader = build_test_loader(cfg, dataset, batch_size=7, limit=20)
    state = torch.get_rng_state()
    found = extract_features(model, loader, layer)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.backbone.training
    assert not model.training
    model.eval()
    assert found.indices[0] == 0
    assert found.indices[-1] == len(dataset) - 1
    one = dataset[int(found.indices[9])]
    inputs = preprocess(model, {key: [part] for key, part in one.items()})
    with torch.no_grad():
        logits = model.head((found.values[9:10],))
        torch.testing.assert_close(logits, model(inputs), rtol=1e-4, atol=1e-4)
    assert found.labels[9] == one['data_samples'].gt_label
    assert found.values.shape[0] == len(found.labels) == 20


def test_the_train_set_is_not_augmented(model):
    cfg = Config(dict(model[0].to_dict(), train_dataloader=TRAIN))
    dataset = build_train_set(cfg)
    assert len(dataset) == 40
    # The config of the run is as it was.
    assert len(cfg.train_dataloader.dataset.dataset.pipeline) == 2
    image = DATASETS.build(dict(DIGITS, pipeline=[]))[3]['img']
    expected = torch.from_numpy(image).permute(2, 0, 1)
    assert torch.equal(dataset[3]['inputs'], expected)


def test_a_retriever_gives_its_neck():
    """It has no attribute of that name."""
    init_default_scope('mmpretrain')
    encoder = [
        dict(type='mask_plugins.CIFARResNet', depth=8),
        dict(type='GlobalAveragePooling'),
    ]
    retriever = MODELS.build(
        dict(
            type='ImageToImageRetriever', image_encoder=encoder,
            prototype=torch.ones(2, 64),
        )
    ).eval()  # fmt: skip
    batch = dict(inputs=torch.rand(2, 3, 8, 8))
    assert batch_features(retriever, batch, 'neck').shape == (2, 64)
    with pytest.raises(ValueError, match="one of .*'neck'"):
        batch_features(retriever, batch, 'backbone')


def test_bad_input(model):
    cfg, model = model
    loader = build_test_loader(cfg, build_test_set(cfg), limit=4)
    with pytest.raises(ValueError, match="one of .*got 'head'"):
        extract_features(model, loader, 'head')
    with pytest.raises(ValueError, match='Linear has no extract_feat'):
        extract_features(torch.nn.Linear(2, 2), loader)
    with pytest.raises(ValueError, match=r'got \(2, 3, 4\)'):
        features_of((torch.zeros(2, 3, 4),))
    with pytest.raises(ValueError, match='no train_dataloader'):
        build_train_set(cfg)
