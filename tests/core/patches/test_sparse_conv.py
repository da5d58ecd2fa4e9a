# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tiles compute what the dense convolution does, for any geometry."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from mask_plugins.core.patches import (
    GatedConv2d,
    StreamState,
    TileIndex,
    upsample_patches,
)
from mask_plugins.core.patches.chain import Chain
from mask_plugins.core.patches.step import Step
from tests.core.patches.small_net import error, run

LAST = torch.channels_last
#: At most 8 * 49 products per value: sqrt(392) * 2**-24, with room.
EXACT = 5e-6


@st.composite
def cases(draw):
    kernel = draw(st.sampled_from([1, 3, 5, 7]))
    dilation = draw(st.sampled_from([1, 2]))
    conv = dict(
        kernel_size=kernel,
        stride=draw(st.sampled_from([1, 2])),
        dilation=dilation,
        groups=draw(st.sampled_from([1, 2, 8])),  # 8: depthwise
        padding=draw(st.sampled_from([0, dilation * (kernel - 1) // 2, 4])),
        bias=draw(st.booleans()),
    )
    size = (draw(st.integers(7, 26)), draw(st.integers(7, 26)))
    reach = dilation * (kernel - 1) + 1
    assume(min(size) + 2 * conv['padding'] >= reach)
    patch = draw(st.sampled_from([2, 4, 6]))
    return conv, size, draw(st.integers(1, 3)), patch, draw(st.integers(0, 99))


def sparse(conv, x, draw, out, patch):
    """Compute the active patches of ``out``, in place."""
    chain = Chain([Step(conv)])
    chain.version()
    plan = chain.plan(x.shape[-2:], (patch, patch), x.device)
    active = draw(plan.grid)
    index = TileIndex.of(active)
    if len(index):
        chain.update(x, plan, index, [out])
    return plan, active


@pytest.fixture(autouse=True, params=['kernels', 'torch'], scope='module')
def path(request):
    """Both ways also in the default suite."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == 'torch':
            patch.setenv('MASK_PLUGINS_NATIVE', '0')
        yield


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases())
def test_active_patches_are_dense_and_others_as_they_were(case):
    options, size, batch, patch, seed = case
    torch.manual_seed(seed)
    conv = nn.Conv2d(8, 8, **options).requires_grad_(False)
    x, old_x = torch.randn(2, batch, 8, *size)
    new, old = conv(x), conv(old_x)
    share = torch.rand(())
    out = old.contiguous(memory_format=LAST).clone()
    plan, active = sparse(
        conv, x, lambda grid: torch.rand(batch, *grid) < share, out, patch
    )
    pixels = upsample_patches(active, plan.out_patch, new.shape[-2:])
    pixels = pixels.unsqueeze(1)
    assert error(out.where(pixels, new), new) < EXACT
    assert torch.equal(out.where(~pixels, old), old)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cases())
def test_input_hold_is_the_masked_dense_convolution(case):
    options, size, batch, patch, seed = case
    torch.manual_seed(seed)
    gate = dict(type='random', patch_size=patch, seed=seed)
    conv = GatedConv2d(8, 8, gate=gate, reuse='input', **options).eval()
    states = [StreamState(0, 0) for _ in range(batch)]
    held = None
    for frame in range(3):
        x = torch.randn(batch, 8, *size)
        out = run(conv, states, x, 'sparse')
        if held is None:
            held = x
        else:  # the draw of the gate, over again
            generator = torch.Generator()
            generator.manual_seed(seed + 1_000_003 * (frame - 1))
            grid = conv.plan(x).grid
            drawn = torch.rand(batch, *grid, generator=generator) >= 0.5
            pixels = upsample_patches(drawn, (patch, patch), size)
            held = x.where(pixels.unsqueeze(1), held)
        assert error(out, conv.dense(held)) < EXACT


def test_padding_same_and_other_paddings():
    x = torch.randn(1, 4, 13, 17)
    conv = nn.Conv2d(4, 4, 4, padding='same').requires_grad_(False)
    out = conv(torch.randn_like(x)).contiguous(memory_format=LAST)
    sparse(conv, x, lambda grid: torch.ones(1, *grid) > 0, out, 4)
    assert error(out, conv(x)) < EXACT
    with pytest.raises(ValueError, match="got 'reflect'"):
        Step(nn.Conv2d(4, 4, 3, padding=1, padding_mode='reflect'))


def test_patches_and_maps_that_do_not_fit():
    chain = Chain([Step(nn.Conv2d(4, 4, 3, stride=2))])
    for size, patch, text in (
        ((32, 32), (3, 3), 'multiple of the stride'),
        ((2, 2), (4, 4), 'map of 2x2 is too small'),
    ):
        with pytest.raises(ValueError, match=text):
            chain.plan(size, patch, torch.device('cpu'))
    with pytest.raises(ValueError, match='must follow a ReLU'):
        Chain([Step(nn.MaxPool2d(3, 2, 1))])
