# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Pack, load, switch; and what wrong files do: nothing."""

import copy
import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from mask_plugins.core.weights import (
    activate_masks,
    active_masks,
    apply_weight_masks,
    load_masks,
    loaded_masks,
    make_ticket,
    mask_report,
    merge_masks,
    named_masks,
    pack_masks,
    read_adapter,
    unload_masks,
    unmerge_masks,
    write_adapter,
)
from mask_plugins.core.weights.adapter_file import (
    content_hash,
    pack_bits,
    unpack_bits,
)

from . import nets

X = nets.small_input()


def trained(kind, seed=1):
    """A task on the base of seed 0: masks, head and statistics moved."""
    model = nets.masked_small(kind)
    torch.manual_seed(seed)
    nets.train(model, data=X + seed)
    if kind == 'soft':
        make_ticket(model)
    return model.eval()


def base_of(model):
    """The weights that its masks are on, with nothing of the task."""
    base = nets.small_base()
    state = model.state_dict()
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            if not name.startswith('head'):
                parameter.copy_(state[name])
    return base.eval()


def snapshot(model):
    return copy.deepcopy(model.state_dict()), [
        type(m) for m in model.modules()
    ]


def assert_unchanged(model, before):
    state, types = before
    now = model.state_dict()
    assert now.keys() == state.keys()
    assert all(torch.equal(now[key], state[key]) for key in state)
    assert [type(m) for m in model.modules()] == types


@pytest.mark.parametrize('kind', list(nets.KINDS))
def test_pack_and_load(kind, tmp_path):
    """The same output to the bit, from bits, head and statistics."""
    model = trained(kind)
    path = str(tmp_path / 'deep' / 'task.safetensors')
    adapter = pack_masks(model, path, info=dict(task='digits'))
    assert adapter.mask_bytes == 72 // 8 + 144 // 8
    assert [p.name for p in (tmp_path / 'deep').iterdir()] == [
        'task.safetensors'
    ]
    base = base_of(model)
    before, plain = snapshot(base), base(X)
    assert load_masks(base, path) is base
    assert torch.equal(base(X), model(X))
    assert read_adapter(path).info == dict(task='digits')
    assert mask_report(base).kept == mask_report(model).kept
    twin = copy.deepcopy(base)
    assert torch.equal(twin(X), model(X))
    activate_masks(base, None)
    assert torch.equal(base(X), plain)
    assert_unchanged(base, before)
    activate_masks(twin, None)
    assert torch.equal(twin(X), plain)


def test_what_is_in_the_file(tmp_path):
    path = str(tmp_path / 'task.safetensors')
    pack_masks(trained('score'), path)
    with safe_open(path, 'pt') as file:
        keys, metadata = set(file.keys()), file.metadata()
    assert keys == {
        'masks/conv1.weight',
        'masks/conv2.weight',
        'state/bn.num_batches_tracked',
        'state/bn.running_mean',
        'state/bn.running_var',
        'state/head.bias',
        'state/head.weight',
    }
    assert metadata['format'] == 'mask_plugins.masks'
    assert json.loads(metadata['masks'])['conv1.weight'] == dict(
        shape=[4, 2, 3, 3], dtype='float32', kind='score', factor=1.0,
        scale=True, chunks=1,
    )  # fmt: skip


def test_several_adapters_are_swapped(tmp_path):
    tasks = {f'task{seed}': trained('score', seed) for seed in (1, 2, 3)}
    base = base_of(tasks['task1'])
    before = snapshot(base)
    for name, model in tasks.items():
        load_masks(base, pack_masks(model), name=name, activate=False)
    assert active_masks(base) is None
    assert loaded_masks(base) == list(tasks)
    assert_unchanged(base, before)
    for name in ('task2', 'task1', 'task3', 'task1'):
        activate_masks(base, name)
        assert active_masks(base) == name
        assert torch.equal(base(X), tasks[name](X))
    with pytest.raises(KeyError, match='no adapter .*tusk.*task1'):
        activate_masks(base, 'tusk')
    assert active_masks(base) == 'task1'
    unload_masks(base, 'task1')
    assert active_masks(base) is None
    assert loaded_masks(base) == ['task2', 'task3']
    assert_unchanged(base, before)


def test_merge_of_an_active_adapter():
    """The base is another one then, so that nothing can be switched."""
    model = trained('score')
    base = base_of(model)
    load_masks(base, pack_masks(model), name='task')
    merge_masks(base, keep=True)
    assert torch.equal(base(X), model(X))
    assert loaded_masks(base) == []
    unmerge_masks(base)
    assert active_masks(base) == 'task'
    activate_masks(base, None)
    assert torch.equal(base(X), base_of(model)(X))


def test_a_part_of_an_adapter():
    """The backbone's masks, for a head of other classes."""
    model = trained('score')
    base = base_of(model)
    base.head = nn.Linear(4, 7)
    with pytest.raises(
        ValueError, match=r'head.weight has the shape \(7, 4\)'
    ):
        load_masks(base, pack_masks(model))
    head = copy.deepcopy(base.head)
    load_masks(base, pack_masks(model), only='*conv*')
    assert torch.equal(base.head.weight, head.weight)
    assert [item.name for item in named_masks(base)] == [
        'conv1.weight',
        'conv2.weight',
    ]
    with pytest.raises(ValueError, match="no mask that only='neck.*' matches"):
        load_masks(base, pack_masks(model), only='neck.*')


def test_adapter_on_double_and_half_weights():
    model = trained('score')
    base = base_of(model).double()
    load_masks(base, pack_masks(model), strict=False)
    torch.testing.assert_close(base(X.double()).float(), model(X))
    exact = nets.with_effective_weights(base, X.double())
    torch.testing.assert_close(base(X.double()), exact, rtol=1e-14, atol=0)


def test_fused_and_tied_weights():
    attention, x = nets.from_zoo('MultiheadAttention')
    base = copy.deepcopy(attention)
    apply_weight_masks(attention, nets.EVERYTHING, nets.KINDS['score'])
    load_masks(base.requires_grad_(False), pack_masks(attention))
    with torch.no_grad():
        assert torch.equal(base(x), attention(x))
    tied = nets.TiedPair()
    base = copy.deepcopy(tied)
    apply_weight_masks(tied, nets.EVERYTHING, nets.KINDS['score'])
    load_masks(base, pack_masks(tied))
    assert torch.equal(base(torch.arange(6)), tied(torch.arange(6)))


# ---------------------------------------------------------------- wrong files
def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 40])


def no_file(path):
    path.unlink()


def no_safetensors(path):
    path.write_bytes(b'PK' + bytes(200))


def foreign(path):
    save_file({'weight': torch.zeros(2)}, path)


def rewritten(change):
    """The adapter, its tensors and metadata changed."""

    def damage(path):
        with safe_open(path, 'pt') as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
            metadata = file.metadata()
        change(tensors, metadata)
        metadata['sha256'] = content_hash(tensors, metadata)
        save_file(tensors, path, metadata)

    return damage


@rewritten
def newer(tensors, metadata):
    metadata['version'] = '9'


@rewritten
def short_mask(tensors, metadata):
    tensors['masks/conv1.weight'] = tensors['masks/conv1.weight'][:-1]


@rewritten
def lost_mask(tensors, metadata):
    del tensors['masks/conv1.weight']


@rewritten
def unknown_kind(tensors, metadata):
    metadata['masks'] = metadata['masks'].replace('"score"', '"fuzzy"')


@rewritten
def other_state(tensors, metadata):
    tensors['state/head.weight'] = torch.zeros(3, 5)


@rewritten
def more_state(tensors, metadata):
    tensors['state/neck.weight'] = torch.zeros(3)


DAMAGES = {
    cut: 'is truncated or not a safetensors file',
    no_file: 'Adapter file not found',
    no_safetensors: 'is truncated or not a safetensors file',
    foreign: 'is not an adapter file: its format is None',
    newer: "has the version '9'.*update it",
    short_mask: 'is damaged',
    lost_mask: 'is damaged',
    unknown_kind: 'is damaged.*fuzzy',
    other_state: r'head.weight has the shape \(3, 4\) in the model',
    more_state: 'the model has no neck.weight',
}


@pytest.mark.parametrize('damage', DAMAGES, ids=lambda d: DAMAGES[d][:20])
def test_a_wrong_file(damage, tmp_path):
    """A clear error, and the model is what it was, another adapter active."""
    model = trained('score')
    base = base_of(model)
    load_masks(base, pack_masks(trained('score', 2)), name='other')
    before, out = snapshot(base), base(X)
    path = tmp_path / 'task.safetensors'
    pack_masks(model, path)
    damage(path)
    with pytest.raises((ValueError, OSError), match=DAMAGES[damage]) as info:
        load_masks(base, path, name='task')
    assert 'task.safetensors' in str(info.value)
    assert loaded_masks(base) == ['other']
    assert active_masks(base) == 'other'
    assert torch.equal(base(X), out)
    assert_unchanged(base, before)


@pytest.mark.parametrize('only', ['*', '*conv*'])
def test_wrong_base(only):
    model = trained('score')
    base = nets.small_base(seed=7)
    before = snapshot(base)
    message = r'other base weights.*\(conv1.weight, conv2.weight differ\)'
    with pytest.raises(ValueError, match=message):
        load_masks(base, pack_masks(model), only=only)
    assert_unchanged(base, before)
    with pytest.warns(UserWarning, match=message):
        load_masks(base, pack_masks(model), only=only, strict=False)
    assert active_masks(base) == 'default'


def test_wrong_unmasked_base():
    model = trained('score')
    base = base_of(model)
    with torch.no_grad():
        base.bn.weight += 1
    with pytest.raises(ValueError, match='weights without a mask differ'):
        load_masks(base, pack_masks(model))
    load_masks(base, pack_masks(model), only='*conv*')


def test_another_architecture():
    adapter = pack_masks(trained('score'))
    wide = nets.Small()
    wide.conv1 = nn.Conv2d(2, 8, 3)
    with pytest.raises(ValueError, match=r'conv1.weight has the shape \(8, 2'):
        load_masks(wide, adapter)
    with pytest.raises(ValueError, match='the model has no parameter conv1'):
        load_masks(nn.Linear(2, 2), adapter)


def test_masks_in_training_are_not_replaced():
    model = trained('score')
    with pytest.raises(ValueError, match='has masks in training'):
        load_masks(model, pack_masks(model))


def test_what_cannot_be_packed(tmp_path):
    with pytest.raises(ValueError, match='has no masks'):
        pack_masks(nets.Small())
    model = trained('score')
    with torch.no_grad():
        model.conv2.weight_mask.scores[0] = torch.nan
    path = tmp_path / 'task.safetensors'
    with pytest.raises(ValueError, match=r"\['conv2.weight'\] are NaN"):
        pack_masks(model, path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'task.safetensors'
    adapter = pack_masks(trained('score'), path)
    before = path.read_bytes()
    wrong = dataclasses.replace(adapter, info=dict(x=object()))
    with pytest.raises(TypeError):
        write_adapter(wrong, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ['task.safetensors']


@pytest.mark.parametrize('shape', [(), (1,), (8,), (3, 5), (0, 4), (2, 3, 3)])
def test_bits(shape):
    on = torch.rand(shape) > 0.5
    packed = pack_bits(on)
    assert packed.dtype == torch.uint8
    assert packed.numel() == -(-on.numel() // 8)
    assert torch.equal(unpack_bits(packed, shape), on)
    with pytest.raises(ValueError, match='do not hold a mask of shape'):
        unpack_bits(
            torch.cat([packed, packed[:1], packed.new_zeros(1)]), shape
        )
