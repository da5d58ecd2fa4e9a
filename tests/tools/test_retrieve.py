# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Image search and maps of embeddings, from the command line."""

import json
import runpy
import sys

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from tests.configs.configs import CONFIGS, ROOT, read

CONFIG = CONFIGS / 'hgsl' / 'hgsl-k1_resnet8_1xb64-30e_digits.py'
TOOLS = ROOT / 'tools' / 'analysis'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('model') / 'epoch_1.pth'
    model = MODELS.build(read(CONFIG).model.to_dict())
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.fixture
def photos(tmp_path):
    numbers = np.random.default_rng(0)
    for name in ('cat', 'dog'):
        (tmp_path / 'photos' / name).mkdir(parents=True)
        for number in range(3):
            pixels = numbers.integers(0, 256, (20, 30, 3), np.uint8)
            path = tmp_path / 'photos' / name / f'{number}.png'
            Image.fromarray(pixels).save(path)
    return tmp_path / 'photos'


def end_of(monkeypatch, tool, *options):
    """What a tool exits with; None if it just ends."""
    monkeypatch.setattr(sys, 'argv', [str(part) for part in (tool, *options)])
    try:
        runpy.run_path(str(tool), run_name='__main__')
    except SystemExit as error:
        return error.code


def call(monkeypatch, tool, checkpoint, out, *args):
    return end_of(
        monkeypatch, TOOLS / tool, str(CONFIG), str(checkpoint),
        '--out', str(out), '--device', 'cpu', *map(str, args),
    )  # fmt: skip


def test_folder_and_image(checkpoint, photos, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    query = photos / 'dog' / '1.png'
    done = call(
        monkeypatch, 'retrieve.py', checkpoint, out,
        '--gallery', photos, '--query', query, '--top-k', 9,
    )  # fmt: skip
    assert not done
    found = json.loads((out / 'retrieve.json').read_text())
    assert found['indexed'] == 6
    (record,) = found['queries']
    assert record['class'] == 'dog'
    # all others, itself not among them
    assert len(record['results']) == 5
    assert str(query) not in [r['file'] for r in record['results']]
    assert sum(r['hit'] for r in record['results']) == 2
    values = [r['similarity'] for r in record['results']]
    assert values == sorted(values, reverse=True)
    assert (out / 'retrieve.png').stat().st_size > 1000
    # the index alone gives the same
    again = tmp_path / 'again'
    call(
        monkeypatch, 'retrieve.py', checkpoint, again,
        '--index', out / 'index.npz', '--query', query, '--top-k', 9,
    )  # fmt: skip
    twice = json.loads((again / 'retrieve.json').read_text())
    assert twice['queries'] == found['queries']
    assert not (again / 'index.npz').exists()


def test_test_images_of_the_config(checkpoint, tmp_path, monkeypatch):
    call(
        monkeypatch, 'retrieve.py', checkpoint, tmp_path, '--limit', 40,
        '--max-queries', 5, '--top-k', 3, '--batch-size', 16,
    )  # fmt: skip
    found = json.loads((tmp_path / 'retrieve.json').read_text())
    assert {q['class'] for q in found['queries']} == set('56789')
    assert all(len(q['results']) == 3 for q in found['queries'])


@pytest.mark.parametrize('method', ['pca', 'tsne'])
def test_embedding_map(method, checkpoint, tmp_path, monkeypatch):
    call(
        monkeypatch, 'embedding_map.py', checkpoint, tmp_path, '--limit', 40,
        '--method', method, '--perplexity', 5,
    )  # fmt: skip
    found = json.loads((tmp_path / 'embedding_map.json').read_text())
    assert np.array(found['points']).shape == (40, 2)
    assert set(found['labels']) == {0, 1, 2, 3, 4}
    assert (tmp_path / 'embedding_map.png').exists()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--gallery', 'nowhere'], 'image or folder not found: nowhere'),
        (['--index', 'none.npz'], 'index not found: none.npz'),
        (['--index', str(CONFIG)], 'is not an index of images'),
    ],
)
def test_what_is_refused(args, message, checkpoint, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    said = call(monkeypatch, 'retrieve.py', checkpoint, out, *args)
    assert message in str(said)
    assert not out.exists()


def test_benchmark(tmp_path, monkeypatch):
    from mask_plugins.benchmarks.retrieval import our_hgsl, plain_hgsl

    x, weight = torch.randn(6, 8).double(), torch.randn(5, 8).double()
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    torch.testing.assert_close(
        our_hgsl(x, labels, weight), plain_hgsl(x, labels, weight)
    )
    out = tmp_path / 'bench.json'
    end_of(
        monkeypatch, ROOT / 'tools' / 'benchmarks' / 'retrieval.py',
        '--classes', '5', '--images', '120', '--channels', '8', '--dims', '8',
        '--rounds', '1', '--out', str(out),
    )  # fmt: skip
    kinds = [row['kind'] for row in json.loads(out.read_text())['losses']]
    assert kinds[:2] == ['ours', 'loop']
