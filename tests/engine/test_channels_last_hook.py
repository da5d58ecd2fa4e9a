# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Networks see images in channels_last, and learn the same."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mask_plugins.engine.hooks import ChannelsLastHook

from .feature_runs import build

HOOK = dict(type='mask_plugins.ChannelsLastHook')
LAST = dict(memory_format=torch.channels_last)
CONVERT = ChannelsLastHook().convert


@MODELS.register_module()
class TwoConvs(nn.Module):
    """A backbone that notes the format of what its second layer gets."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 32, 3, padding=1)
        self.seen = set()

    def forward(self, x):
        x = self.first(x).relu()
        self.seen.add(x.is_contiguous(**LAST) and not x.is_contiguous())
        return (self.second(x).relu(),)


def run(work_dir, *hooks):
    runner = build(
        work_dir,
        hooks,
        **{'model.backbone': dict(_delete_=True, type='TwoConvs')},
    )
    runner.train()
    model = runner.model
    assert not model.data_preprocessor._forward_hooks
    return model.backbone.seen, model.state_dict()


def test_layers_see_it_and_learn_the_same(tmp_path):
    seen, stock = run(tmp_path / 'stock')
    assert seen == {False}
    seen, state = run(tmp_path / 'hook', HOOK)
    assert seen == {True}
    for key, value in stock.items():
        torch.testing.assert_close(state[key], value, rtol=1e-3, atol=1e-4)
        assert state[key].is_contiguous(), key


@pytest.mark.parametrize('inputs', ['name', torch.ones(2, 3, 4)])
def test_other_inputs_pass(inputs):
    assert CONVERT(inputs) is inputs


def test_views_are_converted():
    view = torch.ones(2, 3, 4, 4)
    for item in CONVERT([view, (view, view)])[1]:
        assert item.is_contiguous(**LAST)
