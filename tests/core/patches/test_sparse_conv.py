# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tiles compute what the dense convolution does, for any geometry."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from mask_plugins.core.patches import (
    Chain,
    GatedConv2d,
    Step,
    StreamBinder,
    StreamState,
    sparse_conv2d,
    upsample_patches,
)

LAST = torch.channels_last


@st.composite
def cases(draw):
    groups = draw(st.sampled_from([1, 2, 8]))  # 8: depthwise
    kernel = draw(st.sampled_from([1, 3, 5, 7]))
    dilation = draw(st.sampled_from([1, 2]))
    conv = dict(
        kernel_size=kernel,
        stride=draw(st.sampled_from([1, 2])),
        dilation=dilation,
        groups=groups,
        padding=draw(st.sampled_from([0, dilation * (kernel - 1) // 2, 4])),
        bias=draw(st.booleans()),
    )
    size = (draw(st.integers(7, 26)), draw(st.integers(7, 26)))
    batch = draw(st.integers(1, 3))
    patch = draw(st.sampled_from([2, 4, 6]))
    return conv, size, batch, patch, draw(st.integers(0, 999))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases())
def test_active_patches_are_dense_and_others_as_they_were(case):
    options, size, batch, patch, seed = case
    reach = options['dilation'] * (options['kernel_size'] - 1) + 1
    assume(min(size) + 2 * options['padding'] >= reach)
    torch.manual_seed(seed)
    conv = nn.Conv2d(8, 8, **options)
    x, old_x = torch.randn(2, batch, 8, *size)
    plan = Chain([Step(conv)]).plan(size, (patch, patch), x.device)
    active = torch.rand(batch, *plan.grid) < torch.rand(())
    with torch.no_grad():
        new, old = conv(x), conv(old_x)
    out = old.contiguous(memory_format=LAST).clone()
    assert sparse_conv2d(x, conv, active, out, patch) is out
    pixels = upsample_patches(active, plan.out_patch, new.shape[-2:])
    expected = new.where(pixels.unsqueeze(1), old)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cases())
def test_input_hold_is_the_masked_dense_convolution(case):
    options, size, batch, patch, seed = case
    reach = options['dilation'] * (options['kernel_size'] - 1) + 1
    assume(min(size) + 2 * options['padding'] >= reach)
    torch.manual_seed(seed)
    gate = dict(type='random', patch_size=patch, seed=seed)
    conv = GatedConv2d(8, 8, gate=gate, reuse='input', **options).eval()
    binder = StreamBinder(conv)
    states = [StreamState(scene_cut=0) for _ in range(batch)]
    held = None
    for _ in range(3):
        x = torch.randn(batch, 8, *size)
        with torch.no_grad(), binder.bind(states, 'sparse'):
            out = conv(x)
        if held is None:
            held = x
            conv.gate.reseed()
            draws = [torch.Generator() for _ in range(2)]
            for number, generator in enumerate(draws):
                generator.manual_seed(seed + 1_000_003 * number)
        else:
            grid = conv.plan(x).grid
            drawn = torch.rand(batch, *grid, generator=draws.pop(0)) >= 0.5
            pixels = upsample_patches(drawn, (patch, patch), size)
            held = x.where(pixels.unsqueeze(1), held)
        with torch.no_grad():
            expected = conv.dense(held)
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


def test_padding_same_and_other_paddings():
    x = torch.randn(1, 4, 13, 17)
    conv = nn.Conv2d(4, 4, 4, padding='same')
    out = conv(torch.randn_like(x)).detach().contiguous(memory_format=LAST)
    sparse_conv2d(x, conv, torch.ones(1, 4, 5).bool(), out, 4)
    torch.testing.assert_close(out, conv(x))
    reflect = nn.Conv2d(4, 4, 3, padding=1, padding_mode='reflect')
    with pytest.raises(ValueError, match="got 'reflect'"):
        sparse_conv2d(x, reflect, torch.ones(1, 4, 5).bool(), out, 4)


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (dict(active=torch.ones(1, 2, 2)), 'active must be bool'),
        (dict(active=torch.ones(1, 3, 2).bool()), 'active must be bool'),
        (dict(out=torch.zeros(1, 4, 16, 8)), 'out must be of shape'),
        (dict(out=torch.zeros(1, 4, 16, 16)), 'channels-last'),
        (dict(patch_size=3), 'multiple of the stride'),
    ],
)
def test_bad_arguments(change, text):
    conv = nn.Conv2d(4, 4, 3, padding=1, stride=2)
    good = dict(
        x=torch.randn(1, 4, 32, 32),
        active=torch.ones(1, 4, 4).bool(),
        out=torch.zeros(1, 4, 16, 16).contiguous(memory_format=LAST),
        patch_size=8,
    )
    with pytest.raises(ValueError, match=text):
        sparse_conv2d(conv=conv, **{**good, **change})
