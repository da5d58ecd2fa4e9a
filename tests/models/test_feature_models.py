# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Stems, pooled features and heads of the masked-feature models."""

import pytest
import torch
from mmengine.registry import MODELS

from mask_plugins.analysis.tokens.flops import count_gflops


def build(cfg):
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    if hasattr(model, 'init_weights'):
        model.init_weights()
    return model


def resnet(kind='mask_plugins.StemResNetCIFAR', **options):
    options.update(depth=18, base_channels=8, stem_channels=8)
    return build(dict(type=kind, **options))


# ------------------------------------------------------------------- stem
def test_a_stem_of_three_is_the_stock_network():
    ours, theirs = resnet(stem_kernel=3), resnet('ResNet_CIFAR')
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    x = torch.randn(2, 3, 8, 8)
    assert ours(x)[-1].equal(theirs(x)[-1])


def test_wider_stem():
    ours, theirs = resnet(), resnet('ResNet_CIFAR')
    assert ours.conv1.weight.shape == (8, 3, 5, 5)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    x = torch.randn(2, 3, 32, 32)
    assert ours.conv1(x).shape == theirs.conv1(x).shape
    # 16 more weights per pair of channels, at each of 32 x 32 places
    ours.eval(), theirs.eval()
    more = count_gflops(ours, x) - count_gflops(theirs, x)
    assert more * 1e9 == pytest.approx(2 * 16 * 3 * 8 * 32 * 32, rel=1e-5)


@pytest.mark.parametrize('kernel', [4, 0, -3, 3.0, '5', True])
def test_stem_kernels_that_are_none(kernel):
    with pytest.raises((TypeError, ValueError), match='stem_kernel must be'):
        resnet(stem_kernel=kernel)


# ------------------------------------------------------------------- neck
def pooling(size):
    kind = 'mask_plugins.AdaptiveAveragePooling'
    return build(dict(type=kind, output_size=size))


def test_one_cell_is_global_average_pooling():
    x = (torch.randn(3, 5, 4, 4), torch.randn(3, 7, 2, 2))
    gap = build(dict(type='GlobalAveragePooling'))
    for a, b in zip(pooling(1)(x), gap(x)):
        assert a.equal(b)


def test_cells():
    x = torch.arange(16.0).view(1, 1, 4, 4).expand(2, 3, 4, 4)
    out = pooling(2)(x)
    assert out.shape == (2, 12)
    assert out[0, :4].tolist() == [2.5, 4.5, 10.5, 12.5]
    assert out[0, 4:8].equal(out[0, :4])
    assert isinstance(pooling(2)((x,)), tuple)
    assert pooling(4)(x)[0, :16].tolist() == list(range(16))


def test_errors_of_the_pooling():
    for size in (0, -1, 1.5, '2', True):
        with pytest.raises((TypeError, ValueError), match='output_size'):
            pooling(size)
    with pytest.raises(TypeError, match='inputs must be a tensor'):
        pooling(2)([torch.zeros(1, 1, 4, 4)])


# ------------------------------------------------------------------- head
def head(kind, **options):
    cfg = dict(type=kind, num_classes=3, in_channels=64)
    return build({**cfg, **options})


def test_dropout_before_the_classifier():
    ours = head('mask_plugins.DropoutLinearClsHead', dropout=0.25)
    theirs = head('LinearClsHead')
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    x = (torch.ones(200, 64),)
    assert ours.eval()(x).equal(theirs(x))
    dropped = ours.train().pre_logits(x)
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    share = (dropped == 0).float().mean().item()
    assert share == pytest.approx(0.25, abs=0.02)
    off = head('mask_plugins.DropoutLinearClsHead', dropout=0.0)
    assert off.train()(x).equal(theirs(x))


@pytest.mark.parametrize('dropout', [-0.1, 1.0, 2])
def test_dropout_that_is_no_share(dropout):
    with pytest.raises(ValueError, match=r'dropout must be .* \[0, 1\)'):
        head('mask_plugins.DropoutLinearClsHead', dropout=dropout)
