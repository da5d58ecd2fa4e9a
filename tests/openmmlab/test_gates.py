# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Patch gates on the backbone of a detector and of a segmentor."""

import pytest
import torch

from mask_plugins.core.patches import apply_patch_gates, remove_patch_gates
from mask_plugins.models.stream_feature_extractor import (
    StreamFeatureExtractor,
)
from tests.configs.configs import load

from . import runs

pytestmark = pytest.mark.mmdet
NAMES = ['retinanet-r18_coco', 'fcn-r18_cityscapes']


def frames():
    """A scene of which a corner moves in the last frame."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(1, 3, 128, 128, generator=generator)
    moved = first.clone()
    moved[..., :32, :32] = torch.randn(1, 3, 32, 32, generator=generator)
    return [first, first, moved]


@pytest.mark.parametrize('name', NAMES)
def test_features_of_a_stream(name, shapes):
    project = 'mmdet' if 'coco' in name else 'mmseg'
    pytest.importorskip(project)
    model = runs.build(runs.small(load(name), shapes)).eval()
    with torch.no_grad():
        dense = [model.extract_feat(frame) for frame in frames()]
    apply_patch_gates(model.backbone, gate='exact', patch_size=8)
    neck = model.neck if project == 'mmdet' else None
    extractor = StreamFeatureExtractor(model.backbone, neck).eval()
    skipped = []
    for frame, expected in zip(frames(), dense):
        found = extractor.step(frame, ['camera'])
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        skipped.append(extractor.session.states['camera'].skip_ratio())
    # Of all frames so far: what stands still is not computed again.
    assert skipped[0] == 0
    assert skipped[1] > 0.4
    assert 0.34 < skipped[2] < 0.66
    remove_patch_gates(model.backbone)
    with torch.no_grad():
        again = model.extract_feat(frames()[0])
    for one, other in zip(again, dense[0]):
        assert one.equal(other)
