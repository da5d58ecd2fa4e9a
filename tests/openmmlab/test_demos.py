# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Generated data, and what is measured on it."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.common.processes import ROOT, run_python

from . import runs

SCRIPT = ROOT / 'demo/generated_shapes.py'
DROP = ROOT / 'demo/dropped_tokens.py'


def test_boxes_as_coco_has_them(tmp_path):
    for folder in ('a', 'b'):
        runs.write_shapes('coco', tmp_path / folder, images=(3, 2))
    files = [
        path.relative_to(tmp_path / 'a')
        for path in sorted((tmp_path / 'a').rglob('*.*'))
    ]
    assert len(files) == 7
    for file in files:
        same = [(tmp_path / folder / file).read_bytes() for folder in 'ab']
        assert same[0] == same[1]
    path = tmp_path / 'a/annotations/instances_train2017.json'
    found = json.loads(path.read_text())
    assert [item['name'] for item in found['categories']] == ['box', 'disc']
    assert len(found['images']) == 3
    for box in found['annotations']:
        x, y, w, h = box['bbox']
        name = found['images'][box['image_id']]['file_name']
        with Image.open(tmp_path / 'a/train2017' / name) as image:
            assert image.size == runs.SIZE
            red, green, _ = image.getpixel((x + w // 2, y + h // 2))
        assert 0 <= x < x + w <= runs.SIZE[0]
        assert 0 <= y < y + h <= runs.SIZE[1]
        assert max(red, green) > 150  # of this or of a shape on top


def test_labels_as_cityscapes_has_them(tmp_path):
    runs.write_shapes('cityscapes', tmp_path, images=(4, 1))
    paths = sorted(tmp_path.glob('gtFine/train/*/*_gtFine_labelTrainIds.png'))
    assert len(paths) == 4
    seen = set()
    for path in paths:
        name = path.name.replace('gtFine_labelTrainIds', 'leftImg8bit')
        image = tmp_path / 'leftImg8bit/train/shapes' / name
        labels = np.asarray(Image.open(path))
        pixels = np.asarray(Image.open(image))
        assert labels.shape == pixels.shape[:2] == runs.SIZE[::-1]
        assert (pixels[labels == 13][:, 0] == 220).all()
        assert (pixels[labels == 11][:, 1] == 220).all()
        assert (pixels[labels == 0] < 60).all()
        seen |= set(labels.flatten().tolist())
    assert seen == {0, 11, 13}


def test_an_image_too_small(tmp_path):
    said = run_python(SCRIPT, 'coco', tmp_path, '--size', 8, 8, code=2)
    assert '--size must be at least 32' in said
    assert not list(tmp_path.iterdir())


@pytest.mark.mmdet
@pytest.mark.slow
@pytest.mark.parametrize(
    ('kind', 'project'), [('coco', 'mmdet'), ('cityscapes', 'mmseg')]
)
def test_what_dropped_tokens_cost(kind, project, shapes, tmp_path):
    pytest.importorskip(project)
    folder = shapes / ('coco' if kind == 'coco' else 'city')
    out = tmp_path / 'drop.json'
    said = run_python(
        DROP, kind, folder, '--iterations', 2, '--seeds', 1,
        '--drop-ratios', 0, 0.8, '--out', out, env=runs.environ(),
    )  # fmt: skip
    rows = json.loads(out.read_text())
    kinds = [row['dropped'] for row in rows if row['drop_ratio']]
    assert kinds == ['zero', 'keep', 'keep, last block on all']
    assert len(rows) == 4
    assert all(0 <= row['score'][0] <= 100 for row in rows)
    assert said.count('\n| 0') == 4
