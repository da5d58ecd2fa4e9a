# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Position tables are resized from the grid they were trained on."""

import sys
from collections import OrderedDict

import pytest
import torch
from mmpretrain.models.utils import resize_pos_embed
from torch import nn

from mask_plugins.models.backbones import PSSVisionTransformer
from mask_plugins.models.backbones.state_dicts import resize_bias_table
from mask_plugins.registry import MODELS

from .test_pss_vit import ARCH, randomize

WIDE, SQUARE = (32, 72), (48, 48)  # 4 x 9 and 6 x 6 patches: 36 each


def make(img_size, stock=False, **kwargs):
    options = dict(arch=ARCH, img_size=img_size, patch_size=8)
    if stock:
        options['type'] = 'mmpretrain.VisionTransformer'
        kwargs.update(type='mask_plugins.TokenSampler', module=options)
        model = MODELS.build(kwargs)
    else:
        model = PSSVisionTransformer(use_abs_pos_emb=True, **options, **kwargs)
    randomize(model)
    return model


def bare(model):
    """A state dict without metadata, as EMAHook and safetensors leave it."""
    return OrderedDict(model.state_dict().items())


def resized(model, source, target):
    return resize_pos_embed(model.pos_embed, source, target, 'bicubic', 1)


@pytest.mark.parametrize('stock', [False, True])
@pytest.mark.parametrize('state', [bare, nn.Module.state_dict])
def test_a_grid_that_is_no_square_is_stored(stock, state):
    wide, square = make(WIDE, stock), make(SQUARE, stock)
    expected = resized(wide, (4, 9), (6, 6))
    square.load_state_dict(state(wide))
    assert square.pos_embed.equal(expected)
    again = make(WIDE, stock)
    again.load_state_dict(state(wide))
    assert again.pos_embed.equal(wide.pos_embed)
    assert 'patch_grid' not in square.state_dict()


@pytest.mark.parametrize('stock', [False, True])
def test_a_square_into_another_grid_of_as_many_patches(stock):
    wide, square = make(WIDE, stock), make(SQUARE, stock)
    expected = resized(square, (6, 6), (4, 9))
    wide.load_state_dict(square.state_dict())  # the metadata tell
    assert wide.pos_embed.equal(expected)
    with pytest.raises(ValueError, match=r'not known.*pretrained_img_size'):
        make(WIDE, stock).load_state_dict(bare(square))
    told = make(WIDE, stock, pretrained_img_size=48)
    told.load_state_dict(bare(square))
    assert told.pos_embed.equal(expected)
    # What is saved then says its own grid: it can be resumed.
    again = make(WIDE, stock, pretrained_img_size=48)
    again.load_state_dict(bare(told))
    assert again.pos_embed.equal(expected)


def test_no_square_and_no_grid():
    other = make((40, 64))  # 5 x 8
    state = bare(other)
    del state['patch_grid']
    with pytest.raises(ValueError, match='40 positions.*pretrained_img_size'):
        make(SQUARE).load_state_dict(state)
    told = make(SQUARE, pretrained_img_size=(40, 64))
    told.load_state_dict(state)
    assert told.pos_embed.equal(resized(other, (5, 8), (6, 6)))


@pytest.mark.parametrize('grid', [[3, 9], [0, 36], [36], [2, 3, 6]])
def test_a_file_that_lies(grid):
    state = bare(make(WIDE))
    state['patch_grid'] = torch.tensor(grid)
    with pytest.raises(ValueError, match="does not fit .*'patch_grid'"):
        make(SQUARE).load_state_dict(state)


class TestTables:
    def test_other_image_size_resizes_tables_and_embeddings(self):
        large, small = (
            nn.ModuleDict(dict(backbone=make(size))) for size in ((48, 64), 32)
        )
        large.load_state_dict(small.state_dict())
        table, small_table = (
            m.backbone.layers[0].attn.relative_position_bias_table
            for m in (large, small)
        )
        assert torch.equal(table[-3:], small_table[-3:])

    def test_resize_keeps_a_smooth_table(self):
        reach = torch.arange(-6.0, 7)
        smooth = (reach[:, None] ** 2 + reach[None] ** 2).reshape(-1, 1)
        table = torch.cat((smooth, torch.ones(3, 1)))
        same = resize_bias_table(table, (7, 7), (7, 7))
        torch.testing.assert_close(same, table, rtol=0.2, atol=0.5)
        wide = resize_bias_table(table, (7, 7), (14, 9))
        assert wide.shape == (27 * 17 + 3, 1)
        flat = resize_bias_table(torch.ones(7 + 3, 1), (1, 4), (2, 2))
        assert flat.allclose(torch.ones(12, 1))
        with pytest.raises(ValueError, match='12 rows .* got 7'):
            resize_bias_table(torch.ones(7, 1), (2, 2), (3, 3))

    def test_resize_without_scipy_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 'scipy.interpolate', None)
        with pytest.raises(ImportError, match='pip install scipy'):
            resize_bias_table(torch.ones(12, 1), (2, 2), (3, 3))
