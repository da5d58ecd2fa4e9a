# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A teacher's student, deployed through the command line."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from mmpretrain.apis import get_model

from mask_plugins.apis.model import build_model
from tests.common.methods import method_config, with_teacher
from tests.common.runs import load
from tests.common.tools import call_tool

EMA = dict(type='EMATeacher', momentum=0.5)
MASKED = dict(mask_mode='a', inv_mode='v1')


call = partial(call_tool, 'weights/extract_student')


def write(folder, override, begin=True):
    """Config and checkpoint of a run that never took place, and its model."""
    cfg = method_config('ce', **override)
    cfg.dump(folder / 'run.py')
    model = build_model(cfg)
    if begin:
        model.teacher.update(model.student_network())
    with torch.no_grad():
        for parameter in model.student_network().parameters():
            parameter.add_(0.1)
    path = folder / 'epoch_1.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return folder / 'run.py', path, model.eval()


@pytest.mark.parametrize('scope', ['whole', 'head'])
@pytest.mark.parametrize('which', ['student', 'teacher'])
def test_extract(tmp_path, capsys, scope, which):
    files = write(tmp_path, with_teacher(EMA, MASKED, scope=scope))
    call(*files[:2], '--which', which)
    stem = tmp_path / f'epoch_1_{which}'
    stock = get_model(f'{stem}.py', pretrained=f'{stem}.pth')
    assert type(stock).__name__ == 'ImageClassifier'
    assert type(stock.head).__name__ == 'LinearClsHead'
    images = torch.randn(3, 3, 16, 16)
    model = files[2]
    expected = model(images)
    if which == 'teacher':
        x = model.extract_feat(images) if scope == 'head' else images
        expected = model.teacher.logits(x)
        assert not expected.equal(model(images))
    assert stock.eval()(images).equal(expected)
    state = load(f'{stem}.pth')['state_dict']
    assert not any('token' in k or 'teacher' in k for k in state)
    report = json.loads(Path(f'{stem}.json').read_text())
    assert report['dropped']['tokens'] == 2 * 32
    assert report['dropped']['teacher'] > 0
    assert 'left out: teacher' in capsys.readouterr().out


def test_trained_weights_of_an_average(tmp_path):
    """With evaluate_on_ema=False the run evaluated what the hook swapped."""
    override = with_teacher(EMA)
    path, checkpoint, model = write(tmp_path, override)
    own = model.student_network().state_dict()
    loaded = load(checkpoint)
    loaded['ema_state_dict'] = {
        f'module.{k}': v + 1 if v.is_floating_point() else v
        for k, v in own.items()
    }
    torch.save(loaded, checkpoint)
    path.write_text(
        path.read_text() + "\ncustom_hooks = [dict(type='EMAHook', "
        'evaluate_on_ema=False)]\n'
    )
    for which in ('student', 'teacher'):
        call(path, checkpoint, '--which', which)
        state = load(tmp_path / f'epoch_1_{which}.pth')['state_dict']
        expected = own['head.fc.weight'] + 1
        if which == 'teacher':
            expected = model.teacher.network.head.fc.weight
        assert state['head.fc.weight'].equal(expected)


def test_bad_input(tmp_path):
    path, checkpoint, _ = write(tmp_path, with_teacher(EMA), begin=False)
    with pytest.raises(SystemExit, match='has not begun'):
        call(path, checkpoint, '--which', 'teacher')
    with pytest.raises(SystemExit, match='would be overwritten'):
        call(path, checkpoint, '--out', checkpoint)
    torch.save(dict(state_dict=dict(a=torch.ones(1))), tmp_path / 'a.pth')
    with pytest.raises(SystemExit, match='do not fit'):
        call(path, tmp_path / 'a.pth')
    method_config('ce').dump(tmp_path / 'plain.py')
    with pytest.raises(SystemExit, match='ImageClassifier, which has no'):
        call(tmp_path / 'plain.py', checkpoint)
    assert not list(tmp_path.glob('*_student*'))
