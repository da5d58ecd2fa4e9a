# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A stock checkpoint, made loadable with weights_only=True."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.runner import load_checkpoint

from tests.common.tools import call_tool
from tests.engine.toys import ToyModel, build_runner

convert = partial(call_tool, 'model_converters/stock_to_safe')


def test_a_stock_run_goes_on(tmp_path, capsys):
    stock = build_runner(tmp_path / 'a', checkpoint=dict(type=CheckpointHook))
    stock.train()
    source, target = tmp_path / 'a/epoch_2.pth', tmp_path / 'b/epoch_2.pth'
    with pytest.raises(pickle.UnpicklingError):
        torch.load(source, weights_only=True)
    convert(source, target)
    assert 'log histories made plain' in capsys.readouterr().out
    torch.load(target, weights_only=True)
    model = ToyModel()
    load_checkpoint(model, str(target), strict=True)
    assert model.linear.weight.equal(stock.model.linear.weight)

    safe = build_runner(
        tmp_path / 'b', epochs=3, resume=True, load_from=str(target)
    )
    safe.train()
    old, new = (
        runner.message_hub.get_scalar('train/loss').data[0]
        for runner in (stock, safe)
    )
    assert new.shape == (9,)
    assert np.array_equal(new[:6], old)


def test_what_is_refused(tmp_path):
    torch.save(dict(epoch=3), tmp_path / 'no_weights.pth')
    state = dict(state_dict=dict(a=torch.ones(1)))
    hub = dict(log_scalars=dict(loss=[1]))
    torch.save(dict(state, message_hub=hub), tmp_path / 'log.pth')
    torch.save(dict(state, mask_plugins_plain=[]), tmp_path / 'safe.pth')
    for name, message in (
        ('no_weights.pth', r"no_weights\.pth' has no weights"),
        ('log.pth', r"log\.pth': its log is damaged"),
        ('safe.pth', r"safe\.pth' loads with weights_only=True already"),
        ('absent.pth', r"checkpoint not found: .*absent\.pth'"),
    ):
        with pytest.raises(SystemExit, match=message):
            convert(tmp_path / name, tmp_path / 'out.pth')
        with pytest.raises(SystemExit, match='overwrite'):
            convert(tmp_path / name, tmp_path / name)
    assert not (tmp_path / 'out.pth').exists()
