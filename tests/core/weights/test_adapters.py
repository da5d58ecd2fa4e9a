# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Pack, load, switch; and what wrong files do: nothing."""

import copy
import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
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
    remove_weight_masks,
    unload_masks,
    unmerge_masks,
    write_adapter,
)
from mask_plugins.core.weights.adapter_content import (
    pack_bits,
    unpack_bits,
)
from tests.common.equal import assert_equal
from tests.common.runs import names

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
    return copy.deepcopy(model.state_dict()), nets.classes(model)


def assert_unchanged(model, before):
    assert_equal(model.state_dict(), before[0])
    assert nets.classes(model) == before[1]


@pytest.mark.parametrize('kind', list(nets.KINDS))
def test_pack_and_load(kind, tmp_path):
    """The same output to the bit, from bits, head and statistics."""
    model = trained(kind)
    path = str(tmp_path / 'deep' / 'task.safetensors')
    adapter = pack_masks(model, path, info=dict(task='digits'))
    assert adapter.mask_bytes == 72 // 8 + 144 // 8
    assert names(tmp_path / 'deep', '*') == ['task.safetensors']
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


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_state_of_half_the_bytes(dtype, tmp_path):
    """Rounded, and in the model of the dtype that it had."""
    model, path = trained('score'), str(tmp_path / 'task.safetensors')
    whole = pack_masks(model)
    half = pack_masks(model, path, state_dtype=dtype)
    counters = 8  # num_batches_tracked
    assert half.state_bytes - counters == (whole.state_bytes - counters) / 2
    assert_equal(half.masks, whole.masks)
    base = base_of(model)
    plain = base(X)
    load_masks(base, path)
    assert_equal(read_adapter(path).state, half.state)
    assert base.bn.running_var.dtype == torch.float32
    rounded = whole.state['bn.running_var'].to(getattr(torch, dtype))
    assert torch.equal(base.bn.running_var, rounded.float())
    found, expected = base(X), model(X)
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
    assert (found - expected).norm() < 0.1 * (plain - expected).norm()


def test_state_that_a_dtype_has_no_room_for():
    model = trained('score')
    model.bn.running_var[0] = 1e6
    with pytest.raises(ValueError, match=r'ends at 65504, but bn.running_var'):
        pack_masks(model, state_dtype='float16')
    assert pack_masks(model, state_dtype='bfloat16')
    with pytest.raises(ValueError, match='state_dtype must be one of'):
        pack_masks(model, state_dtype='int8')


def test_several_adapters_are_swapped(tmp_path):
    tasks = {f'task{seed}': trained('score', seed) for seed in (1, 2, 3)}
    base = base_of(tasks['task1'])
    before = snapshot(base)
    for name, model in tasks.items():
        load_masks(base, pack_masks(model), name=name, activate=False)
    assert active_masks(base) is None
    assert loaded_masks(base) == list(tasks)
    assert_unchanged(base, before)
    activate_masks(base, 'task3')
    modules = list(base.modules())
    for name in ('task2', 'task1', 'task3', 'task1'):
        activate_masks(base, name)
        assert active_masks(base) == name
        assert torch.equal(base(X), tasks[name](X))
        assert list(base.modules()) == modules  # swapped in place
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
    with pytest.raises(ValueError, match=r'head.weight has the shape \(7, 4'):
        load_masks(base, pack_masks(model))
    head = copy.deepcopy(base.head)
    load_masks(base, pack_masks(model), only='*conv*')
    assert torch.equal(base.head.weight, head.weight)
    masked = [item.name for item in named_masks(base)]
    assert masked == ['conv1.weight', 'conv2.weight']
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
    for model, x in (
        nets.from_zoo('MultiheadAttention'),
        (nets.TiedPair(), torch.arange(6)),
    ):
        base = copy.deepcopy(model).requires_grad_(False)
        apply_weight_masks(model, nets.EVERYTHING, nets.KINDS['score'])
        load_masks(base, pack_masks(model))
        with torch.no_grad():
            assert torch.equal(base(x), model(x))


@pytest.mark.parametrize('shape', [(), (1,), (8,), (3, 5), (0, 4), (2, 3, 3)])
def test_bits(shape):
    on = torch.rand(shape) > 0.5
    packed = pack_bits(on)
    assert packed.dtype == torch.uint8
    assert packed.numel() == -(-on.numel() // 8)
    assert torch.equal(unpack_bits(packed, shape), on)
    longer = torch.cat([packed, packed.new_zeros(1)])
    with pytest.raises(ValueError, match='do not hold a mask of shape'):
        unpack_bits(longer, shape)


def test_the_names_of_wrappers_are_left_out(tmp_path):
    """Neither written nor needed: a compiled model and a plain one."""
    path = tmp_path / 'task.safetensors'
    model = trained('score')
    expected = model(X)
    compiled = torch.compile(model, backend='eager')
    adapter = pack_masks(compiled, path)
    assert list(adapter.masks) == ['conv1.weight', 'conv2.weight']
    assert all(key.startswith(('bn.', 'head.')) for key in adapter.state)
    assert mask_report(compiled).rows == mask_report(model).rows
    base = base_of(model)
    load_masks(torch.compile(base, backend='eager'), path)
    assert torch.equal(base(X), expected)
    # a part of the model alone is compiled
    base = base_of(model)
    base.conv1 = torch.compile(base.conv1, backend='eager')
    load_masks(base, path)
    assert torch.equal(base(X), expected)
    again = pack_masks(base, tmp_path / 'b')
    assert again.masks.keys() == adapter.masks.keys()
    net = torch.compile(nets.small_base(), backend='eager')
    apply_weight_masks(net, nets.SMALL_RULES, nets.KINDS['score'])
    assert [i.name for i in named_masks(net)] == list(adapter.masks)
    assert remove_weight_masks(net) is net


@pytest.mark.parametrize('prefix', ['module.', '_orig_mod.'])
def test_files_with_the_names_of_wrappers_are_read(prefix, tmp_path):
    adapter = pack_masks(trained('score'))
    named = {
        part: {f'{prefix}{k}': v for k, v in getattr(adapter, part).items()}
        for part in ('masks', 'settings', 'state', 'bases')
    }
    path = tmp_path / 'task.safetensors'
    write_adapter(dataclasses.replace(adapter, **named), path)
    base = base_of(trained('score'))
    load_masks(base, path)
    assert torch.equal(base(X), trained('score')(X))
