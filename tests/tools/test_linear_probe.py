# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The probe through its command line."""

import runpy

import pytest

from mask_plugins.utils.files import read_json
from tests.evaluation.models import RESNET, write_model

TRAIN = """
train_dataloader = dict(
    dataset=dict(
        type='mask_plugins.Digits', split='train', image_size=16, indices=200,
        pipeline=[dict(type='RandomFlip', prob=0.5), dict(type='PackInputs')],
    ),
)
"""


@pytest.fixture
def call(repo_root):
    tool = repo_root / 'tools' / 'analysis' / 'linear_probe.py'
    return runpy.run_path(str(tool))['main']


def files(tmp_path, text=TRAIN):
    config, checkpoint = write_model(tmp_path, RESNET)
    with open(config, 'a') as file:
        file.write(text)
    return [config, checkpoint, '--device', 'cpu']


def test_a_sweep_of_l2(tmp_path, call, capsys):
    out = tmp_path / 'out'
    call([*files(tmp_path), '--l2', '0', '1e-3', '1', '--out', str(out)])
    text = capsys.readouterr().out
    assert '200 training and 364 test images, 8 features of the neck' in text
    found = read_json(str(out / 'linear_probe.json'))
    probes = found['probes']
    assert [probe['l2'] for probe in probes] == [1, 1e-3, 0.01 / 200]
    assert sum(probe['chosen'] for probe in probes) == 1
    best = max(probe['holdout_top1'] for probe in probes)
    (chosen,) = (probe for probe in probes if probe['chosen'])
    assert chosen['holdout_top1'] == best
    # The weights are random, but the features tell digits apart.
    assert chosen['test_top1'] > 30
    assert probes[0]['train_top1'] <= probes[2]['train_top1']
    picture = (out / 'linear_probe.png').read_bytes()
    assert picture.startswith(b'\x89PNG')


def test_a_single_one_needs_no_choice(tmp_path, call):
    call([*files(tmp_path), '--l2', '1e-2', '--limit', '50'])
    found = read_json(str(tmp_path / 'linear_probe.json'))
    (probe,) = found['probes']
    assert probe['holdout_top1'] is None
    assert probe['chosen']
    assert found['test_images'] == 50


def test_bad_input_writes_nothing(tmp_path, call):
    arguments = files(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit, match=r'l2 must be .* got -1\.0'):
        call([*arguments, '--l2', '-1'])
    with pytest.raises(SystemExit, match='no file|does not exist|nope'):
        call([arguments[0], str(tmp_path / 'nope.pth')])
    with pytest.raises(SystemExit, match='no train_dataloader'):
        call(files(tmp_path / 'other', ''))
    assert sorted(p for p in tmp_path.iterdir() if p.is_file()) == before
