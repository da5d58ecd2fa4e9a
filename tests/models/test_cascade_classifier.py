# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A cascade in one file: what it computes, and files that do not fit."""

import copy

import pytest
import torch

from mask_plugins.core.weights import (
    ScoreMask,
    apply_weight_masks,
    base_state,
    merge_masks,
    pack_masks,
)
from mask_plugins.functional.combine import Combination
from mask_plugins.functional.feature_vectors import features_of
from mask_plugins.functional.router import Router
from mask_plugins.models.classifiers.cascade_file import (
    CascadeFile,
    write_cascade,
)
from mask_plugins.registry import MODELS

NET = dict(
    type='mmpretrain.ResNet_CIFAR', depth=18, stem_channels=4, base_channels=2
)
NAMES = ('dispatcher', 'expert_0', 'expert_1')


@pytest.fixture
def cascade(tmp_path):
    """The path of a cascade of random masks, and the merged networks."""
    base = MODELS.build(NET)
    base.eval()
    base.requires_grad_(False)
    adapters, merged = {}, {}
    for name in NAMES:
        net = apply_weight_masks(
            copy.deepcopy(base), [('*conv*', 'mask'), ('*', 'freeze')],
            ScoreMask,
        )  # fmt: skip
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.data.uniform_(-0.3, 1)
        net.eval()
        adapters[name] = pack_masks(net)
        merged[name] = merge_masks(net)
    eye = torch.eye(16).double()
    router = Router(
        torch.zeros(16).double(), eye[:, :2], torch.ones(2).double() / 2,
        torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double(),
        torch.eye(2).double().repeat(2, 1, 1),
    )  # fmt: skip
    path = tmp_path / 'cascade.safetensors'
    write_cascade(
        CascadeFile(base_state(base), adapters, router,
                    Combination('conditional'), torch.randn(3, 48),
                    torch.randn(3)),
        path,
    )  # fmt: skip
    return path, merged, router


def build(path, backbone=NET):
    return MODELS.build(
        dict(type='mask_plugins.CascadeClassifier', backbone=backbone,
             file=str(path))
    )  # fmt: skip


def test_each_image_goes_through_its_expert(cascade):
    path, merged, router = cascade
    model = build(path)
    images = torch.randn(12, 3, 8, 8)
    with torch.no_grad():
        first, *experts = (features_of(merged[name](images)) for name in NAMES)
    clusters = router.assign(first)
    assert len(clusters.unique()) == 2
    wanted = torch.cat(
        [
            first,
            *(x * (clusters == i)[:, None] for i, x in enumerate(experts)),
        ],
        dim=1,
    )
    torch.testing.assert_close(model.extract_feat(images), wanted)
    scores = wanted.double() @ model.weight.T + model.bias
    labels = [int(s.pred_label) for s in model(images, mode='predict')]
    assert labels == scores.argmax(1).tolist()
    # Nothing of it depends on the batch that came before.
    torch.testing.assert_close(model.extract_feat(images), wanted)


def test_files_that_do_not_fit(cascade, tmp_path):
    path, _, _ = cascade
    with pytest.raises(ValueError, match='of another backbone'):
        build(path, dict(NET, base_channels=3))
    with pytest.raises(ValueError, match='of another backbone'):
        build(path, dict(NET, depth=34))
    with pytest.raises(FileNotFoundError, match='none'):
        build(tmp_path / 'none')
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match='cascade'):
        build(path)
