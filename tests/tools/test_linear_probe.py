# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The probe through its command line."""

import pytest

from mask_plugins.utils.files import read_json
from tests.common.tools import call_tool
from tests.evaluation.models import RESNET, write_model

TRAIN = """
train_dataloader = dict(
    dataset=dict(
        type='mask_plugins.Digits', split='train', image_size=16, indices=200,
        pipeline=[dict(type='RandomFlip', prob=0.5), dict(type='PackInputs')],
    ),
)
"""


def call(folder, *args, text=TRAIN, name='tiny.pth'):
    config, _ = write_model(folder, RESNET)
    with open(config, 'a') as file:
        file.write(text)
    fixed = config, folder / name, '--device', 'cpu'
    call_tool('analysis/linear_probe', *fixed, *args)


def test_a_sweep_of_l2(tmp_path, capsys):
    out = tmp_path / 'out'
    call(tmp_path, '--l2', 0, '1e-3', 1, '--out', out)
    text = capsys.readouterr().out
    assert '200 training and 364 test images, 8 features of the neck' in text
    probes = read_json(str(out / 'linear_probe.json'))['probes']
    assert [probe['l2'] for probe in probes] == [1, 1e-3, 0.01 / 200]
    best = max(probe['holdout_top1'] for probe in probes)
    (chosen,) = (probe for probe in probes if probe['chosen'])
    assert chosen['holdout_top1'] == best
    # The weights are random, but the features tell digits apart.
    assert chosen['test_top1'] > 30
    assert probes[0]['train_top1'] <= probes[2]['train_top1']
    picture = (out / 'linear_probe.png').read_bytes()
    assert picture.startswith(b'\x89PNG')


def test_a_single_one_needs_no_choice(tmp_path):
    call(tmp_path, '--l2', '1e-2', '--limit', 50)
    found = read_json(str(tmp_path / 'linear_probe.json'))
    (probe,) = found['probes']
    assert probe['holdout_top1'] is None
    assert probe['chosen']
    assert found['test_images'] == 50


@pytest.mark.parametrize(
    ('args', 'files', 'message'),
    [
        (('--l2', '-1'), {}, r'l2 must be .* got -1\.0'),
        ((), dict(name='nope.pth'), 'file not found.*nope'),
        ((), dict(text=''), 'no train_dataloader'),
    ],
)
def test_bad_input_writes_nothing(tmp_path, args, files, message):
    with pytest.raises(SystemExit, match=message):
        call(tmp_path, *args, **files)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {'tiny.py', 'tiny.pth'}
