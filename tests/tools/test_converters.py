# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Checkpoints with the originals' names: convert, load, compare outputs.

The reference below is written after timm's and BEiT's module names, apart
from our backbone: its forward is what the converted weights must reproduce.
"""

import pickle
import sys
from argparse import Namespace
from functools import partial
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner import load_checkpoint
from torch import nn

from mask_plugins.analysis.weights.converter_cli import make_parser
from mask_plugins.engine.checkpoint.checkpoint_guard import UNPICKLES
from mask_plugins.models.converters import (
    convert_deit,
    convert_simmim,
    read_weights,
    write_checkpoint,
)
from mask_plugins.registry import MODELS
from tests.common.equal import assert_equal
from tests.common.original_vit import (
    CLASSES,
    SIZE,
    WIDTH,
    OriginalPretraining,
    OriginalViT,
    images,
    randomized,
)
from tests.common.runs import names
from tests.common.tools import run_tool

close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)
TABLE = 'relative_position_bias_table'


def classifier(backbone):
    head = dict(num_classes=CLASSES, in_channels=WIDTH)
    return MODELS.build(
        dict(
            type='mmpretrain.ImageClassifier',
            backbone={**backbone, 'fused_attn': False},
            head=dict(head, type='mmpretrain.LinearClsHead'),
        )
    ).eval()


@pytest.fixture(autouse=True, scope='module')
def _registered():
    from mmpretrain.utils import register_all_modules

    register_all_modules(init_default_scope=False)


@pytest.mark.parametrize(
    ('convert', 'kwargs'),
    [
        (convert_simmim, dict()),
        (convert_simmim, dict(mean=False, abs_pos=True)),
        (convert_deit, dict(style='timm', rel_pos=False, abs_pos=True,
                            mean=False, layer_scale=False)),
        (convert_deit, dict(abs_pos=True, layer_scale=False)),
    ],
    ids=['simmim', 'simmim-cls', 'deit', 'deit-pss'],
)  # fmt: skip
def test_converted_weights_compute_the_same(convert, kwargs):
    original = randomized(OriginalViT(**kwargs))
    result = convert(original.state_dict())
    model = classifier(result.backbone)
    model.load_state_dict(result.state_dict, strict=True)
    with torch.no_grad():
        ours = model.head(model.backbone(images()))
        theirs = original(images())
    assert theirs.std() > 0.1
    close(ours, theirs)


def test_the_key_bias_that_is_dropped_matters_to_nothing():
    original = randomized(
        OriginalViT(style='timm', rel_pos=True, layer_scale=False)
    )
    before = original(images())
    with torch.no_grad():
        for block in original.blocks:
            assert block.attn.qkv.bias[WIDTH : 2 * WIDTH].abs().min() > 0
            block.attn.qkv.bias[WIDTH : 2 * WIDTH] = 0
    close(original(images()), before)


def lacks(result, modules):
    """The model of a conversion, which has all but the modules named."""
    model = classifier(result.backbone)
    found = model.load_state_dict(result.state_dict, strict=False)
    assert {key.rsplit('.', 1)[0] for key in found.missing_keys} == modules
    assert not found.unexpected_keys
    return model


def test_simmim_pretraining():
    original = randomized(OriginalPretraining())
    result = convert_simmim(original.state_dict())
    dropped = {key.split('.')[0] for key, _ in result.dropped}
    assert dropped == {'mask_token', 'decoder', 'norm', 'rel_pos_bias'}
    assert not any('index' in key for key in result.state_dict)
    first, second = (
        result.state_dict[f'backbone.layers.{i}.attn.{TABLE}'] for i in (0, 1)
    )
    assert first.equal(second)
    assert first.data_ptr() != second.data_ptr()

    # what fine-tuning adds is missing, and nothing else
    model = lacks(result, {'backbone.ln2', 'head.fc'})
    x = original.encoder.tokens(images())[:, 1:].mean(1)
    theirs = F.layer_norm(x, (WIDTH,), eps=1e-6)
    ours = model.backbone(images())[0]
    close(ours, theirs)

    # and with the read-out that the pre-training has
    result = convert_simmim(original.state_dict(), out_type='cls_token')
    model = lacks(result, {'head.fc'})
    ours = model.backbone(images())[0]
    theirs = original.encoder.features(images())
    close(ours, theirs)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_written_file_is_a_pretrained_checkpoint(tmp_path, suffix):
    result = convert_simmim(randomized(OriginalViT()).state_dict())
    path = str(tmp_path / f'sub/converted{suffix}')
    write_checkpoint(path, result.state_dict, dict(backbone=result.backbone))
    assert names(tmp_path / 'sub', '*') == [f'converted{suffix}']
    weights = read_weights(path, 'state_dict')
    assert_equal(dict(weights), result.state_dict)
    if suffix == '.pth':
        torch.load(path, weights_only=True)
        init = dict(type='Pretrained', checkpoint=path, prefix='backbone.')
        model = classifier(dict(result.backbone, init_cfg=init))
        model.init_weights()
        key = 'layers.1.attn.q_bias'
        loaded = model.backbone.state_dict()[key]
        assert loaded.equal(result.state_dict[f'backbone.{key}'])
        load_checkpoint(model, path, strict=True)


def test_help_says_what_each_format_is_for(capsys):
    with pytest.raises(SystemExit):
        make_parser('SimMIM', 'simmim_to_mask_plugins').parse_args(['-h'])
    text = ' '.join(capsys.readouterr().out.split())
    assert ".pth, which init_cfg=dict(type='Pretrained')" in text
    assert '.safetensors, which mmengine does not read' in text


@pytest.mark.skipif(UNPICKLES, reason='our reader is in its place then')
def test_mmengine_reads_no_safetensors(tmp_path):
    # If this fails, the help of the converters can be shortened.
    path = str(tmp_path / 'converted.safetensors')
    write_checkpoint(path, dict(a=torch.ones(2)))
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(nn.Linear(1, 1), path)


def original_training_file(path, weights, monkeypatch):
    """A checkpoint as SimMIM writes it: yacs settings next to the weights."""
    config = ModuleType('yacs.config')
    config.CfgNode = type('CfgNode', (dict,), dict(__module__='yacs.config'))
    node = config.CfgNode({'MODEL': config.CfgNode({'TYPE': 'vit'})})
    node.__dict__['__immutable__'] = True
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'yacs', ModuleType('yacs'))
        patch.setitem(sys.modules, 'yacs.config', config)
        torch.save(
            dict(
                model=weights,
                optimizer=dict(state={}, param_groups=[]),
                max_accuracy=83.7,
                epoch=99,
                config=node,
                args=Namespace(model='deit_small'),
            ),
            path,
        )


def test_tool_converts_a_training_checkpoint(tmp_path, monkeypatch, capsys):
    src, dst = tmp_path / 'ckpt_epoch_99.pth', tmp_path / 'out/vit.pth'
    weights = randomized(OriginalPretraining()).state_dict()
    original_training_file(src, weights, monkeypatch)
    tool = 'model_converters/simmim_to_mask_plugins'
    run_tool(monkeypatch, tool, src, dst)
    said = capsys.readouterr().out
    for text in ('mask_token', 'decoder', 'blocks.*.attn.q_bias'):
        assert text in said
    saved = torch.load(dst, weights_only=True)
    assert saved['meta']['source'] == 'ckpt_epoch_99.pth'
    assert saved['meta']['backbone']['img_size'] == SIZE
    key = 'backbone.patch_embed.projection.weight'
    original = weights['encoder.patch_embed.proj.weight']
    assert saved['state_dict'][key].equal(original)


def test_tool_refuses_a_foreign_file_and_writes_nothing(tmp_path, monkeypatch):
    src, dst = tmp_path / 'resnet.pth', tmp_path / 'out.pth'
    torch.save({'conv1.weight': torch.zeros(1)}, src)
    tool = 'model_converters/deit_to_mask_plugins'
    with pytest.raises(SystemExit, match=r'error: .*conv1\.weight'):
        run_tool(monkeypatch, tool, src, dst)
    assert not dst.exists()
    # a file is never written onto itself
    with pytest.raises(SystemExit, match='overwrite'):
        run_tool(monkeypatch, tool, src, src)


def test_unexpected_and_missing_keys_are_named():
    weights = randomized(OriginalViT(style='timm')).state_dict()
    distilled = dict(weights, dist_token=torch.zeros(1, 1, WIDTH))
    distilled['head_dist.weight'] = torch.zeros(1)
    with pytest.raises(ValueError, match=r'dist_token, head_dist\.weight'):
        convert_deit(distilled)
    lacking = dict(weights)
    del lacking['blocks.1.mlp.fc1.weight']
    with pytest.raises(ValueError, match=r"blocks\.1\.mlp\.fc1\.weight'"):
        convert_simmim(lacking)
    with pytest.raises(ValueError, match='out_type'):
        convert_simmim(weights, out_type='featmap')


def test_a_file_without_weights(tmp_path):
    torch.save(dict(epoch=3), tmp_path / 'epoch.pth')
    with pytest.raises(ValueError, match="no weights under 'model'"):
        read_weights(tmp_path / 'epoch.pth')
