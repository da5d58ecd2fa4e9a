# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The tools of weight masks through their command lines."""

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import load_checkpoint
from mmpretrain.apis import get_model
from safetensors.torch import load_file, save_file

from mask_plugins.apis.model import build_model, load_trained_model
from mask_plugins.core.weights import (
    is_two_of_four,
    load_masks,
    named_masks,
    read_adapter,
)
from tests.common.runs import load, names
from tests.common.tools import call_tool
from tests.evaluation.masked_models import CONFIGS, scores_of, write_masked

from ..common.processes import run


def call(tool, *argv):
    """Run a tool in this process."""
    call_tool(f'weights/{tool}', *argv)


def export(folder, kind='whole', seed=0):
    """Files of a masked training, and its adapter."""
    files = write_masked(folder, kind, seed)
    adapter = folder / f'task{seed}.safetensors'
    call('export_masks', files.config, files.checkpoint, '--out', adapter)
    return files, adapter


def masked_scores(files, ticket=True):
    """What the masked model computes."""
    model = load_trained_model(Config.fromfile(files.config), files.checkpoint)
    for item in named_masks(model):
        if hasattr(item.mask, 'ticket'):
            item.mask.ticket = ticket
    return scores_of(model)


def stock_scores(config, checkpoint):
    """What mmpretrain computes with what a tool wrote."""
    return scores_of(get_model(str(config), pretrained=str(checkpoint)))


def test_a_smaller_state(tmp_path):
    """The file says its dtype; it is applied as any other."""
    (files, adapter), out = export(tmp_path), tmp_path / 'stock.pth'
    half = tmp_path / 'half.safetensors'
    call('export_masks', files.config, files.checkpoint, '--out', half,
         '--state-dtype', 'float16')  # fmt: skip
    assert half.stat().st_size < adapter.stat().st_size
    report = json.loads(half.with_suffix('.json').read_text())
    assert report['state_dtypes'] == ['float16', 'int64']
    call('apply_masks', files.config, files.base, half, '--out', out)
    found = stock_scores(out.with_suffix('.py'), out)
    torch.testing.assert_close(
        found, masked_scores(files), rtol=0.02, atol=0.02
    )


# ------------------------------------------------------------ export, apply
@pytest.mark.parametrize('kind', CONFIGS)
def test_export_and_apply(kind, tmp_path, capsys):
    """Bit for bit what the masked model computes, in a stock model."""
    files, adapter = export(tmp_path / 'run', kind)
    printed = capsys.readouterr().out
    assert 'all masks' in printed
    assert ('as their ticket' in printed) == (kind == 'soft')
    base = files.checkpoint if kind == 'soft' else files.base
    out = tmp_path / 'out' / 'stock.pth'
    call('apply_masks', files.config, base, adapter, '--out', out)
    printed = capsys.readouterr().out
    assert f'mim test mask_plugins {out.with_suffix(".py")}' in printed
    assert names(out.parent, '*') == ['stock.json', 'stock.pth', 'stock.py']
    expected = masked_scores(files)
    found = stock_scores(out.with_suffix('.py'), out)
    if kind == 'constant':  # two layers become one
        torch.testing.assert_close(found, expected)
    else:
        assert torch.equal(found, expected)
    written = load(out)
    if kind != 'hidden':
        # The stock config that there was loads it too.
        assert torch.equal(stock_scores(files.stock, out), found)
        stock = load(files.base)['state_dict']
        assert list(written['state_dict']) == list(stock)
    assert written['meta']['dataset_meta']['classes'] == list('0123456789')
    text = out.with_suffix('.py').read_text()
    assert "type='mask_plugins.Digits'" in text
    for word in ('Soft', 'Score', 'MaskedModel', 'Hook(', 'MaskDensity'):
        assert word not in text
    report = json.loads(out.with_suffix('.json').read_text())
    assert report['needs_mask_plugins'] == [
        'test_dataloader.dataset: mask_plugins.Digits'
    ]
    assert report['size'] == sum(row['size'] for row in report['masks'])


def test_tickets_of_a_pattern(tmp_path, capsys):
    """Both tools; of masks that can follow it."""
    files = write_masked(tmp_path, 'soft')
    given = (files.config, files.checkpoint, '--pattern', '2:4', '--out')
    adapter, out = tmp_path / 'a.safetensors', tmp_path / 'merged.pth'
    call('export_masks', *given, adapter)
    call('merge_masks', *given, out)
    assert '2:4 turns' in capsys.readouterr().out
    merged = load(out)['state_dict']
    masks = read_adapter(str(adapter)).masks
    for name in masks:
        stem = merged[name].shape[1] % 4
        assert is_two_of_four(merged[name]) == (not stem)
        half = merged[name].numel() // 2
        assert int(merged[name].count_nonzero()) == half
    with pytest.raises(SystemExit, match='soft=True has no pattern'):
        call('merge_masks', *given, out, '--soft')


def test_the_adapter(tmp_path):
    files = write_masked(tmp_path)
    call('export_masks', files.config, files.checkpoint)
    written = tmp_path / 'whole_0_masks.safetensors'
    report = json.loads((tmp_path / 'whole_0_masks.json').read_text())
    adapter = read_adapter(str(written))
    assert report['mask_bytes'] == adapter.mask_bytes
    assert adapter.mask_bytes == sum(
        -(-row['size'] // 8) for row in report['masks']
    )
    # Head and norm buffers, but no frozen weight.
    assert {key.split('.')[-1] for key in adapter.state} == {
        'weight', 'bias', 'running_mean', 'running_var',
        'num_batches_tracked',
    }  # fmt: skip
    trained = {k for k in adapter.state if k.endswith(('weight', 'bias'))}
    assert trained == {'head.fc.weight', 'head.fc.bias'}
    info = adapter.info
    assert info['classes'] == list('0123456789')
    base = load(files.base)['state_dict']
    parameters = [k for k in base if k.endswith(('weight', 'bias'))]
    assert info['parameters'] == sum(base[k].numel() for k in parameters)
    assert info['model_bytes'] == sum(
        value.numel() * value.element_size() for value in base.values()
    )
    # It swaps in as any adapter does.
    model = build_model(Config.fromfile(files.stock))
    model.load_state_dict(base)
    load_masks(model, str(written))
    assert torch.equal(scores_of(model), masked_scores(files))


def test_apply_to_a_backbone_alone(tmp_path, capsys):
    """As SwAV and the like are published: no head, no prefix."""
    (files, adapter), out = export(tmp_path), tmp_path / 'stock.pth'
    weights = load(files.base)['state_dict']
    keys = [key for key in weights if key.startswith('backbone.')]
    backbone = {key[len('backbone.') :]: weights[key] for key in keys}
    backbone['fc.weight'] = torch.zeros(1000, 8)
    path = tmp_path / 'backbone.pth'
    torch.save(backbone, str(path))
    call('apply_masks', files.stock, path, adapter, '--out', out)
    note = '1 tensors of backbone.pth have no place in the model: fc.weight'
    assert note in capsys.readouterr().out
    assert torch.equal(stock_scores(files.stock, out), masked_scores(files))


def test_apply_only_the_backbone(tmp_path):
    (files, adapter), out = export(tmp_path), tmp_path / 'out.safetensors'
    call('apply_masks', files.stock, files.base, adapter, '--out', out,
         '--only', 'backbone.*')  # fmt: skip
    weights = load_file(out)
    base = load(files.base)['state_dict']
    masked = load(files.checkpoint)['state_dict']
    assert torch.equal(weights['head.fc.weight'], base['head.fc.weight'])
    name = 'backbone.bn1.running_mean'
    assert torch.equal(weights[name], masked[name])


def test_apply_to_a_wrong_base(tmp_path, capsys):
    (files, adapter), out = export(tmp_path), tmp_path / 'out' / 'x.pth'
    base, path = load(files.base)['state_dict'], tmp_path / 'other.pth'
    command = ('apply_masks', files.stock, path, adapter, '--out', out)
    name = 'backbone.conv1.weight'
    wrong = base.pop(name) + 1
    for change, message in (
        ({}, f'it has no {name}'),
        ({name: torch.zeros(2, 2)}, r'the shape \(2, 2\) in it'),
        ({name: wrong}, 'belongs to other base weights'),
    ):
        torch.save({**base, **change}, str(path))
        with pytest.raises(SystemExit, match=message):
            call(*command)
    assert not out.parent.exists()
    capsys.readouterr()
    call(*command, '--any-base')
    assert 'note' in capsys.readouterr().out
    assert 'other base weights' in ''.join(
        json.loads(out.with_suffix('.json').read_text())['notes']
    )


# -------------------------------------------------------------------- merge
@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('kind', ['soft', 'backbone'])
def test_merge(kind, soft, tmp_path, capsys):
    files = write_masked(tmp_path / 'run', kind)
    command = ('merge_masks', files.config, files.checkpoint)
    if soft and kind == 'backbone':
        with pytest.raises(SystemExit, match='has no soft masks'):
            call(*command, '--soft')
        return
    call(*command, *['--soft'] * soft)
    stem = tmp_path / 'run' / f'{kind}_0_merged'
    expected = masked_scores(files, ticket=not soft)
    assert torch.equal(stock_scores(f'{stem}.py', f'{stem}.pth'), expected)
    printed = capsys.readouterr().out
    if kind == 'soft':
        note = 'as they are, at temperature 2' if soft else 'as their ticket'
        assert note in printed
    report = json.loads(Path(f'{stem}.json').read_text())
    assert report['soft'] == soft


def test_a_merged_model_is_stock(tmp_path):
    """Its classes are those of torch, and the keys those of mmpretrain."""
    files = write_masked(tmp_path, 'soft')
    out = tmp_path / 'ticket.pth'
    call('merge_masks', files.config, files.checkpoint, '--out', out)
    model = get_model(str(tmp_path / 'ticket.py'), pretrained=str(out))
    assert type(model.backbone.conv1) is torch.nn.Conv2d
    share = (model.backbone.layer1[0].conv1.weight == 0).float().mean()
    assert 0.3 < share < 0.7


def test_checkpoints_of_other_writers(tmp_path):
    """Averaged weights, a wrapper's prefix, safetensors; no pickle."""
    files = write_masked(tmp_path, 'whole')
    masked = load(files.checkpoint)['state_dict']
    path = tmp_path / 'plain.safetensors'
    save_file({f'module.{k}': v for k, v in masked.items()}, str(path))
    call('merge_masks', files.config, path, '--out', tmp_path / 'a.pth')
    averaged = {f'module.{k}': v for k, v in masked.items()}
    averaged['steps'] = torch.tensor(3)
    other = {
        k: torch.zeros_like(v) if k.endswith('scores') else v
        for k, v in masked.items()
    }
    ema = tmp_path / 'ema.pth'
    torch.save(dict(state_dict=other, ema_state_dict=averaged), str(ema))
    config = tmp_path / 'ema_config.py'
    config.write_text(
        "_base_ = 'whole.py'\ncustom_hooks = [dict(type='EMAHook', "
        'evaluate_on_ema=False)]'
    )
    call('merge_masks', config, ema, '--out', tmp_path / 'b.pth')
    expected = masked_scores(files)
    for name in 'ab':
        out = tmp_path / f'{name}.pth'
        assert torch.equal(stock_scores(out.with_suffix('.py'), out), expected)


# ---------------------------------------------------------------- bad input
def test_bad_input_writes_nothing(tmp_path):
    run_folder = tmp_path / 'run'
    files = write_masked(run_folder, 'whole')
    before = names(run_folder, '*')
    cases = [
        ('no masks', 'export_masks', files.stock, files.base),
        ('do not fit the model', 'export_masks', files.config, files.base),
        ('file not found', 'export_masks', files.config, 'nowhere.pth'),
        ('no file', 'merge_masks', 'nowhere.py', files.checkpoint),
        ('KEY=VALUE', 'export_masks', files.config, files.checkpoint,
         '--cfg-options', 'x'),
        ('must end in .safetensors', 'export_masks', files.config,
         files.checkpoint, '--out', run_folder / 'x.pth'),
        ('would be overwritten', 'merge_masks', files.config,
         files.checkpoint, '--out', files.checkpoint),
        # whole.pth would have its config next to it: whole.py
        ('would be overwritten', 'merge_masks', files.config,
         files.checkpoint, '--out', run_folder / 'whole.pth'),
        ('is a folder', 'merge_masks', files.config, files.checkpoint,
         '--out', run_folder),
        ('not an adapter file', 'apply_masks', files.stock, files.base,
         tmp_path / 'foreign.safetensors'),
        ('truncated or not', 'apply_masks', files.stock, files.base,
         files.base),
        ('truncated or not', 'inspect_masks', files.base),
        ('give its checkpoint too', 'inspect_masks', files.config),
        ('can be read', 'merge_masks', files.config,
         tmp_path / 'cut.pth'),
        ('is a file', 'inspect_masks', files.config, files.checkpoint,
         '--out', files.base),
    ]  # fmt: skip
    foreign = tmp_path / 'foreign.safetensors'
    save_file(dict(a=torch.zeros(1)), str(foreign))
    cut = Path(files.checkpoint).read_bytes()[:3000]
    (tmp_path / 'cut.pth').write_bytes(cut)
    outside = names(tmp_path, '*')
    for message, tool, *argv in cases:
        with pytest.raises(SystemExit) as end:
            call(tool, *argv)
        assert message in str(end.value.code), (tool, end.value.code)
    assert names(run_folder, '*') == before
    assert names(tmp_path, '*') == outside


# ---------------------------------------------------------------------- mim
@pytest.mark.slow
def test_mim_runs_them(tmp_path):
    files = write_masked(tmp_path, 'whole')
    mim = (sys.executable, '-m', 'mim', 'run', 'mask_plugins')
    out = tmp_path / 'task.safetensors'
    run(*mim, 'export_masks', files.config, files.checkpoint, '--out', out)
    run(*mim, 'inspect_masks', out, '--out', tmp_path / 'out')
    assert names(tmp_path / 'out', '*') == [
        'inspect_masks.json', 'inspect_masks.png',
    ]  # fmt: skip
    model = build_model(Config.fromfile(files.stock))
    load_checkpoint(model, files.base)
    load_masks(model, str(out))
