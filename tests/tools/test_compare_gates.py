# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gates at equal skip ratios, and accuracy with speed."""

import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import init_default_scope

from mask_plugins.apis.model import build_model
from mask_plugins.benchmarks.pass_labeled import dense_backbone, gated_backbone
from mask_plugins.core.patches import gated_layers
from mask_plugins.engine.launching.run_config import load_config
from mask_plugins.registry import MODELS
from tests.common.tools import call_tool

CONFIG = """
_base_ = ['{root}/configs/pass/pass-stream_resnet18_1xb1_synthetic.py']
model = dict(backbone=dict(base_channels=8, stem_channels=8),
             head=dict(in_channels=64))
val_dataloader = dict(dataset=dict(num_clips=4, clip_len=4))
test_dataloader = dict(dataset=dict(num_clips=4, clip_len=4))
"""


@pytest.fixture
def trained(tmp_path, repo_root):
    """A config and a checkpoint of weights that mean nothing."""
    init_default_scope('mmpretrain')
    config = tmp_path / 'narrow.py'
    config.write_text(CONFIG.format(root=repo_root))
    torch.manual_seed(0)
    model = build_model(load_config(str(config)))
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return str(config), str(path)


def test_compare_gates(trained, tmp_path, capsys):
    config, checkpoint = trained
    out = ('--ratios', 0.5, '--out', tmp_path / 'out')
    call_tool('analysis/compare_gates', config, checkpoint, checkpoint, *out)
    records = json.loads((tmp_path / 'out/compare_gates.json').read_text())
    kinds = [record['kind'] for record in records[:3]]
    assert kinds == ['learned', 'threshold', 'random']
    assert {r['seed'] for r in records} == {0, 1}
    for record in records:
        assert 0 < record['skip_ratio'] < 1
        assert 0 <= record['agreement'] <= 100
    assert (tmp_path / 'out/compare_gates.png').stat().st_size
    assert '2 seeds' in capsys.readouterr().out
    for wrong in ((checkpoint, '--ratios', 1.5), (tmp_path / 'none.pth',)):
        with pytest.raises(SystemExit):
            call_tool('analysis/compare_gates', config, *wrong)


def test_labeled_benchmark(trained, tmp_path):
    options = ('--thresholds', 0, 0.1, '--clips', 2, '--out', tmp_path)
    options += ('--no-inductor',)
    call_tool('benchmarks/pass_labeled', *trained, *options)
    exact, loose = json.loads((tmp_path / 'pass_labeled.json').read_text())
    assert exact['agreement'] == 100  # everything that changed is computed
    assert exact['frames'] == 8
    assert loose['skipped_patches'] >= exact['skipped_patches']
    assert exact['speed_up'] > 0
    assert exact['dense'] in ('eager fp32', 'packed fp32')


def test_labeled_benchmark_wants_as_many_clips_as_there_are(trained, tmp_path):
    with pytest.raises(SystemExit, match='at most 4, .*, got 5 '):
        call_tool(
            'benchmarks/pass_labeled',
            *trained,
            '--clips',
            5,
            '--out',
            tmp_path,
        )
    assert not (tmp_path / 'pass_labeled.json').exists()


@pytest.mark.parametrize('place', ['block', 'conv'])
def test_the_labeled_benchmark_keeps_the_gates_of_the_model(place):
    options = dict(type='mask_plugins.GatedResNet', depth=18, place=place)
    rules = [('layer4.*', 'skip')]
    backbone = MODELS.build(dict(options, rules=rules, reuse='input'))
    wanted = gated_layers(backbone)
    model = SimpleNamespace(backbone=backbone)
    dense, gated = dense_backbone(model), gated_backbone(model, 0.1)
    found = gated_layers(gated)
    assert list(found) == list(wanted)
    assert {layer.reuse for layer in found.values()} == {'input'}
    assert not gated_layers(dense)
