# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Features through the command line: once, continued, on two processes."""

import pytest
import torch
from mmengine.config import Config

from mask_plugins.analysis.cascade import feature_files
from mask_plugins.analysis.cascade.feature_files import read_features
from mask_plugins.apis.features import load_feature_model
from mask_plugins.core.weights import ScoreMask, apply_weight_masks, pack_masks
from tests.common.processes import run_tool
from tests.common.tools import call_tool
from tests.evaluation.models import RESNET, write_model

from .test_linear_probe import TRAIN


@pytest.fixture
def model(tmp_path):
    config, checkpoint = write_model(tmp_path, RESNET)
    with open(config, 'a') as file:
        file.write(TRAIN)
    return config, checkpoint


def extract(model, out, *args):
    call_tool('analysis/extract_features', *model, '--out', out,
              '--device', 'cpu', *args)  # fmt: skip
    return read_features(out)


def test_a_killed_command_continues(model, tmp_path, monkeypatch):
    whole = extract(model, tmp_path / 'whole.safetensors')
    assert (whole.train.shape, whole.test.shape) == ((200, 8), (364, 8))
    monkeypatch.setattr(feature_files, 'BLOCK', 48)
    taken, real = [], feature_files.extract_features

    def extract_or_stop(model, loader, *args):
        if len(taken) == 3:
            raise KeyboardInterrupt
        taken.append(len(loader.dataset))
        return real(model, loader, *args)

    monkeypatch.setattr(feature_files, 'extract_features', extract_or_stop)
    path = tmp_path / 'killed.safetensors'
    with pytest.raises(KeyboardInterrupt):
        extract(model, path)
    assert not path.exists()
    assert len(list(tmp_path.glob('killed*.parts/*'))) == 3
    count = []
    monkeypatch.setattr(
        feature_files, 'extract_features',
        lambda *args: (count.append(args), real(*args))[1],
    )  # fmt: skip
    found = extract(model, path)
    # 5 blocks of the training set and 8 of the test set, 3 of them done.
    assert len(count) == 10
    assert not list(tmp_path.glob('killed*.parts'))
    for one, other in zip(found, whole):
        if isinstance(one, str):
            assert one == other
        else:  # the last batch of a block has another size
            torch.testing.assert_close(one, other)


@pytest.mark.ddp
def test_two_processes_are_one(model, tmp_path):
    path = tmp_path / 'two.safetensors'
    codes, output = run_tool(
        tmp_path, 'analysis/extract_features.py', *model, '--out', path,
        ranks=2,
    )  # fmt: skip
    assert codes == [0, 0], output
    one = extract(model, tmp_path / 'one.safetensors')
    two = read_features(path)
    assert torch.equal(one.train_labels, two.train_labels)
    torch.testing.assert_close(one.train, two.train)
    torch.testing.assert_close(one.test, two.test)


@pytest.mark.parametrize('whole', [False, True])
def test_adapters_of_a_backbone_and_of_a_model(model, tmp_path, whole):
    cfg = Config.fromfile(model[0])
    masked = load_feature_model(cfg, model[1], 'cpu')
    part = masked if whole else masked.backbone
    apply_weight_masks(part, [('*conv*', 'mask'), ('*', 'freeze')], ScoreMask)
    with torch.no_grad():
        for name, parameter in part.named_parameters():
            if name.endswith('scores'):
                parameter[::2] = -1
    adapter = tmp_path / 'adapter.safetensors'
    pack_masks(part, adapter)
    plain = extract(model, tmp_path / 'plain.safetensors')
    path = tmp_path / 'out.safetensors'
    found = extract(model, path, '--adapter', adapter)
    assert not torch.allclose(found.train, plain.train)

    path.unlink()
    weights = torch.load(model[1], weights_only=True)
    weights['state_dict']['backbone.conv1.weight'] += 1
    torch.save(weights, model[1])
    with pytest.raises(SystemExit, match='belongs to other base weights'):
        extract(model, path, '--adapter', adapter)
    with pytest.raises(SystemExit, match='none'):
        extract(model, path, '--adapter', tmp_path / 'none')
    assert not path.exists()
