# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gates on the networks of mmpretrain."""

import copy

import pytest
import torch
from mmpretrain.models import ResNet

from mask_plugins.core.patches import (
    StreamBinder,
    StreamState,
    apply_patch_gates,
)
from tests.common.rounding import error, rounding


@pytest.mark.parametrize('reuse', ['output', 'input'])
@pytest.mark.parametrize('depth', [18, 50])
def test_exact_gates_equal_the_stock_resnet(depth, reuse):
    """Basic blocks and bottlenecks, two streams of odd sizes."""
    torch.manual_seed(0)
    stock = ResNet(depth, base_channels=8, stem_channels=8)
    stock.eval()
    gated = copy.deepcopy(stock)
    apply_patch_gates(gated, 'exact', reuse=reuse, patch_size=4)
    binder, states = StreamBinder(gated), [StreamState(), StreamState()]
    still = torch.randn(2, 3, 71, 93)
    moved = still.clone()
    moved[0, :, 10:30, 20:40] += 1
    with torch.no_grad():
        for frame in (still, moved, still, moved):
            with binder.bind(states, 'sparse'):
                out = gated(frame)[-1]
            assert error(out, stock(frame)[-1]) < rounding(stock)
    # The second stream stands still: only its first frame was computed.
    assert states[1].skip_ratio() > 0.7
