# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Image search and maps of embeddings, from the command line."""

import numpy as np
import pytest
import torch

from mask_plugins.apis.model import build_model
from mask_plugins.utils.files import read_json
from tests.common.datasets import write_images
from tests.common.tools import call_tool, run_tool
from tests.configs.configs import CONFIGS, read

CONFIG = CONFIGS / 'hgsl' / 'hgsl-k1_resnet8_1xb64-30e_digits.py'


@pytest.fixture(scope='module')
def call(tmp_path_factory):
    """Call a tool with a checkpoint that nobody trained; what it writes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('model') / 'epoch_1.pth'
    torch.save(dict(state_dict=build_model(read(CONFIG)).state_dict()), path)

    def call(tool, out, *args):
        fixed = CONFIG, path, '--out', out, '--device', 'cpu'
        call_tool(f'analysis/{tool}', *fixed, *args)
        return read_json(str(out / f'{tool}.json'))

    return call


def test_folder_and_image(call, tmp_path):
    photos, out = tmp_path / 'photos', tmp_path / 'out'
    names = [f'{name}/{n}.png' for name in ('cat', 'dog') for n in range(3)]
    write_images(photos, *names, size=(20, 30))
    query = photos / 'dog' / '1.png'
    asked = '--query', query, '--top-k', 9
    found = call('retrieve', out, '--gallery', photos, *asked)
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
    twice = call('retrieve', again, '--index', out / 'index.npz', *asked)
    assert twice['queries'] == found['queries']
    assert not (again / 'index.npz').exists()


def test_test_images_of_the_config(call, tmp_path):
    found = call(
        'retrieve', tmp_path, '--limit', 40, '--max-queries', 5, '--top-k', 3,
        '--batch-size', 16,
    )  # fmt: skip
    assert {q['class'] for q in found['queries']} == set('56789')
    assert all(len(q['results']) == 3 for q in found['queries'])


@pytest.mark.parametrize('method', ['pca', 'tsne'])
def test_embedding_map(method, call, tmp_path):
    options = '--limit', 40, '--method', method, '--perplexity', 5
    found = call('embedding_map', tmp_path, *options)
    assert np.array(found['points']).shape == (40, 2)
    assert set(found['labels']) == {0, 1, 2, 3, 4}
    assert (tmp_path / 'embedding_map.png').exists()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--gallery', 'nowhere'], 'image or folder not found: nowhere'),
        (['--index', 'none.npz'], 'index not found: none.npz'),
        (['--index', CONFIG], 'is not an index of images'),
    ],
)
def test_what_is_refused(args, message, call, tmp_path):
    with pytest.raises(SystemExit, match=message):
        call('retrieve', tmp_path / 'out', *args)
    assert not (tmp_path / 'out').exists()


def test_benchmark(tmp_path, monkeypatch):
    from mask_plugins.benchmarks.retrieval import our_hgsl, plain_hgsl

    x, weight = torch.randn(6, 8).double(), torch.randn(5, 8).double()
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    torch.testing.assert_close(
        our_hgsl(x, labels, weight), plain_hgsl(x, labels, weight)
    )
    out = tmp_path / 'bench.json'
    run_tool(
        monkeypatch, 'benchmarks/retrieval', '--classes', 5, '--images', 120,
        '--channels', 8, '--dims', 8, '--rounds', 1, '--out', out,
    )  # fmt: skip
    kinds = [row['kind'] for row in read_json(str(out))['losses']]
    assert kinds[:2] == ['ours', 'loop']
