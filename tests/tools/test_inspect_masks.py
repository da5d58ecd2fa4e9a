# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the tools say of masks: one adapter, and several compared."""

import json

import pytest
import torch
from mmengine.config import Config

from mask_plugins.apis.model import load_trained_model
from mask_plugins.core.weights import pack_masks, read_adapter, write_adapter
from tests.common.runs import names
from tests.evaluation.masked_models import write_masked

from .test_weights import call, export


def test_inspect_an_adapter(tmp_path, capsys):
    files, adapter = export(tmp_path, 'topk')
    out = tmp_path / 'out'
    capsys.readouterr()
    call('inspect_masks', adapter, '--out', out)
    printed = capsys.readouterr().out
    assert 'masks, lzma' in printed
    assert names(out, '*') == ['inspect_masks.json', 'inspect_masks.png']
    content = json.loads((out / 'inspect_masks.json').read_text())
    assert content['density'] == pytest.approx(0.3, abs=0.01)
    sizes = {row['name'].strip(): row for row in content['sizes']}
    packed = sizes['masks, 1 bit per weight']
    weights = sizes['its masked weights, float32']['bytes']
    assert packed['bytes'] == content['packed_bytes']
    assert packed['times_smaller'] == pytest.approx(32, rel=1e-3)
    assert weights == content['float_bytes']
    whole = sizes['adapter: masks and state']['bytes']
    state = sizes['norm buffers, head, other state']['bytes']
    assert whole == packed['bytes'] + state
    model = sizes['fine-tuned model, float']['bytes']
    assert model == content['info']['model_bytes'] > weights
    # From config and checkpoint: the same numbers.
    again = tmp_path / 'again'
    call('inspect_masks', files.config, files.checkpoint, '--out', again,
         '--format', 'pdf', '--html')  # fmt: skip
    found = json.loads((again / 'inspect_masks.json').read_text())
    same = ('masks', 'sizes', 'density', 'base_sha256', 'density_of_model')
    assert {k: found[k] for k in same} == {k: content[k] for k in same}
    report = (again / 'inspect_masks.html').read_text()
    assert 'masks, 1 bit per weight' in report
    assert 'data:image/svg+xml' in report
    assert (again / 'inspect_masks.pdf').read_bytes().startswith(b'%PDF')


def test_inspect_names_what_is_empty(tmp_path, capsys):
    files = write_masked(tmp_path, 'whole')
    state = torch.load(files.checkpoint, weights_only=True)
    key = 'backbone.conv1.weight_mask.scores'
    state['state_dict'][key].fill_(-1)
    torch.save(state, files.checkpoint)
    adapter = tmp_path / 'task.safetensors'
    call('export_masks', files.config, files.checkpoint, '--out', adapter)
    call('inspect_masks', adapter)
    printed = capsys.readouterr().out
    assert printed.count('nothing of backbone.conv1.weight is kept') == 2
    state['state_dict'][key].fill_(float('nan'))
    torch.save(state, files.checkpoint)
    for tool in ('export_masks', 'merge_masks', 'inspect_masks'):
        with pytest.raises(SystemExit, match='diverged'):
            call(tool, files.config, files.checkpoint)
    assert not list(tmp_path.glob('*merged*'))


def test_an_adapter_of_the_function(tmp_path):
    """``pack_masks`` writes no sizes of the model; there is a floor."""
    files = write_masked(tmp_path, 'whole')
    model = load_trained_model(Config.fromfile(files.config), files.checkpoint)
    path = tmp_path / 'plain.safetensors'
    adapter = pack_masks(model, str(path))
    call('inspect_masks', path)
    content = json.loads((tmp_path / 'inspect_masks.json').read_text())
    model = content['sizes'][0]['bytes']
    assert model == content['float_bytes'] + adapter.state_bytes


# ------------------------------------------------------------------ compare
def test_compare(tmp_path, capsys):
    paths = [export(tmp_path, 'topk', seed)[1] for seed in (0, 1, 2)]
    same = tmp_path / 'copy.safetensors'
    same.write_bytes(paths[0].read_bytes())
    out = tmp_path / 'out'
    capsys.readouterr()
    call('compare_masks', *paths, same, '--out', out, '--layers')
    printed = capsys.readouterr().out
    assert 'task0, task1' in printed
    assert 'backbone.conv1.weight' in printed
    assert names(out, '*') == ['compare_masks.json', 'compare_masks.png']
    overlap = json.loads((out / 'compare_masks.json').read_text())
    pairs = {(p['a'], p['b']): p['total'] for p in overlap['pairs']}
    assert len(pairs) == 6
    copy = pairs['task0', 'copy']
    assert copy['agreement'] == copy['jaccard_kept'] == 1
    assert copy['jaccard_removed'] == 1
    independent = pairs['task0', 'task1']
    assert abs(independent['z']) < 4 < copy['z']
    for key in ('agreement', 'jaccard_kept', 'jaccard_removed'):
        assert independent[key] == pytest.approx(
            independent[f'expected_{key}'], abs=0.03
        )
    a, b = (read_adapter(str(path)).masks for path in paths[:2])
    common = b''.join(bytes((a[key] & b[key]).tolist()) for key in a)
    both = bin(int.from_bytes(common, 'big')).count('1')
    assert independent['kept_by_both'] == both


def test_compare_of_what_does_not_fit(tmp_path, capsys):
    _, path = export(tmp_path)
    out = tmp_path / 'out'
    with pytest.raises(SystemExit, match='two or more adapters'):
        call('compare_masks', path, '--out', out)
    with pytest.raises(SystemExit, match='a file is given twice'):
        call('compare_masks', path, path, '--out', out)
    adapter = read_adapter(str(path))
    for masks in (adapter.masks, adapter.settings, adapter.bases):
        masks['other.weight'] = masks.pop('backbone.conv1.weight')
    object.__setattr__(adapter, 'base_sha256', 'other')
    other = tmp_path / 'other.safetensors'
    write_adapter(adapter, str(other))
    capsys.readouterr()
    call('compare_masks', path, other, '--out', out)
    printed = capsys.readouterr().out
    assert '2 masks are not in all adapters' in printed
    assert 'different base weights' in printed
    keep = 'other.weight'
    for masks in (adapter.masks, adapter.settings, adapter.bases):
        for key in set(masks) - {keep}:
            del masks[key]
    write_adapter(adapter, str(other))
    with pytest.raises(SystemExit, match='no layer in common'):
        call('compare_masks', path, other, '--out', tmp_path / 'no')
    assert not (tmp_path / 'no').exists()
