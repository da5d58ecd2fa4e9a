# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What wrong adapters do: nothing."""

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
    load_masks,
    loaded_masks,
    make_ticket,
    mask_report,
    merge_masks,
    pack_masks,
    unmerge_masks,
    write_adapter,
)
from mask_plugins.core.weights.adapter_content import content_hash

from . import nets
from .test_adapters import X, assert_unchanged, base_of, snapshot, trained


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


def header(**metadata):
    return rewritten(lambda _, found: found.update(metadata))


def edited(**settings):
    """The settings of one mask, changed."""

    @rewritten
    def damage(tensors, metadata):
        masks = json.loads(metadata['masks'])
        masks['conv1.weight'].update(settings)
        metadata['masks'] = json.dumps(masks)

    return damage


def state(key, change, part='state'):
    """A tensor, changed or added."""
    key = f'{part}/{key}'
    return rewritten(
        lambda tensors, _: tensors.update({key: change(tensors.get(key))})
    )


def flipped_bit(path):
    """A bit of the last tensor: the header still fits."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 4
    path.write_bytes(content)


def no_checksum(path):
    with safe_open(path, 'pt') as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        metadata = file.metadata()
    del metadata['sha256']
    save_file(tensors, path, metadata)


DAMAGES = {
    cut: 'is truncated or not a safetensors file',
    no_file: 'Adapter file not found',
    no_safetensors: 'is truncated or not a safetensors file',
    foreign: 'is not an adapter file: its format is None',
    header(version='9'): "has the version '9'.*update it",
    state('conv1.weight', lambda x: x[:-1], 'masks'): 'is damaged',
    rewritten(
        lambda tensors, _: tensors.pop('masks/conv1.weight')
    ): 'is damaged',
    edited(kind='fuzzy'): 'is damaged.*fuzzy',
    state('head.weight', lambda x: torch.zeros(3, 5)): r'head.weight has the '
    r'shape \(3, 4\) in the model',
    state('neck.weight', lambda x: torch.zeros(3)): 'model has no neck.weight',
    flipped_bit: 'is damaged: its content has another checksum',
    no_checksum: 'has no checksum',
    header(info='[' * 100_000): 'is damaged.*Recursion',
    edited(factor=float('nan')): 'factor must be a number',
    edited(factor=-1.0): 'factor must be a number',
    edited(chunks=0): 'chunks must be an int of at least 1',
    edited(chunks=True): 'chunks must be an int',
    edited(chunks=3): 'chunks=3 does not divide',
    edited(scale=1): 'scale must be True or False',
    edited(shape=[4.0, 2, 3, 3]): 'a length of the shape must be an int',
    edited(shape=[10**30]): 'a length of the shape must be an int in',
    edited(extra=1): 'settings are .*extra',
    state(
        'head.weight', lambda x: x * torch.nan
    ): 'head.weight has NaN or infinite values',
    state(
        'head.weight', lambda x: x.double() + 1e300
    ): 'head.weight has values too large for float32',
    state('bn.running_var', torch.neg): 'bn.running_var has negative values',
    state('head.weight', lambda x: x.to(torch.float8_e4m3fn)): 'is damaged',
    state('head.weight', torch.Tensor.int): 'head.weight is float32 in the',
    state('bn.num_batches_tracked', torch.Tensor.bool): 'is int64 in the',
}


@pytest.mark.parametrize(
    ('damage', 'message'), DAMAGES.items(), ids=map(str, range(len(DAMAGES)))
)
def test_a_wrong_file(damage, message, tmp_path):
    """A clear error, and the model is what it was, another adapter active."""
    model = trained('score')
    base = base_of(model)
    load_masks(base, pack_masks(trained('score', 2)), name='other')
    before, out = snapshot(base), base(X)
    path = tmp_path / 'task.safetensors'
    pack_masks(model, path)
    damage(path)
    with pytest.raises((ValueError, OSError), match=message) as info:
        load_masks(base, path, name='task')
    assert 'task.safetensors' in str(info.value)
    assert loaded_masks(base) == ['other']
    assert active_masks(base) == 'other'
    assert torch.equal(base(X), out)
    assert_unchanged(base, before)


@pytest.mark.parametrize('first', [False, True])
def test_a_factor_that_is_an_int_of_any_size(first, tmp_path):
    """It is the float that it stands for, also after another adapter."""
    model = trained('score')
    base, path = base_of(model), tmp_path / 'task.safetensors'
    pack_masks(model, path)
    if first:
        load_masks(base, path, name='first')
    edited(factor=10**30)(path)
    load_masks(base, path, name='task')
    assert base(X).isfinite().all()


def test_an_error_while_it_is_put_on_changes_nothing(monkeypatch):
    """Whatever fails: the adapter before stays, bit for bit."""
    model, base = trained('score'), base_of(trained('score'))
    load_masks(base, pack_masks(trained('score', 2)), name='other')
    before, out = snapshot(base), base(X)
    adapter = pack_masks(model)
    for value in adapter.state.values():
        value.requires_grad_(value.is_floating_point())
    original = torch.Tensor.copy_

    def fails(tensor, source, *args):
        if source.requires_grad and source.shape == (3, 4):
            raise MemoryError
        return original(tensor, source, *args)

    monkeypatch.setattr(torch.Tensor, 'copy_', fails)
    with pytest.raises(MemoryError):
        load_masks(base, adapter, name='task')
    monkeypatch.undo()
    assert loaded_masks(base) == ['other']
    assert active_masks(base) == 'other'
    assert torch.equal(base(X), out)
    assert_unchanged(base, before)


def test_a_base_of_another_dtype():
    """The cause is named: it is not another base."""
    model = trained('score')
    message = 'was made on weights of float32, and those of the model are bfl'
    with pytest.raises(ValueError, match=message):
        load_masks(base_of(model).bfloat16(), pack_masks(model))
    base = base_of(model)
    load_masks(base, pack_masks(model), 'first')
    base.bfloat16()
    with pytest.raises(ValueError, match=message):
        load_masks(base, pack_masks(trained('score', 2)), 'second')
    assert active_masks(base) == 'first'


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


@pytest.mark.parametrize(
    'wrong', [dict(strict='no'), dict(activate=0), dict(name=3)]
)
def test_a_flag_is_a_flag(wrong, tmp_path):
    with pytest.raises(TypeError, match=f'{next(iter(wrong))} must be'):
        load_masks(nn.Linear(2, 2), tmp_path / 'a.safetensors', **wrong)


def loaded():
    model = load_masks(base_of(trained('score')), pack_masks(trained('score')))
    return activate_masks(model, None) or model


ON_META = dict(
    pack=(trained, pack_masks),
    compiled=(trained, lambda m: pack_masks(torch.compile(m))),
    merge=(trained, merge_masks),
    report=(trained, mask_report),
    ticket=(trained, make_ticket),
    load=(nets.masked_small, lambda m: load_masks(m, 'none.safetensors')),
    activate=(loaded, lambda m: activate_masks(m, 'default')),
    unmerge=(lambda: merge_masks(trained('soft'), keep=True), unmerge_masks),
)


@pytest.mark.parametrize('part', ['', 'conv1', 'bn'])
@pytest.mark.parametrize('act', ON_META)
def test_shapes_on_the_meta_device_are_no_values(act, part):
    make, change = ON_META[act]
    model = make(*['soft'] * (make in (trained, nets.masked_small)))
    model.get_submodule(part).to('meta')
    before, inside = nets.classes(model), set(vars(model))
    named = f'{part}.' if part else 'conv1.'
    with pytest.raises(ValueError, match=rf'{named}\w+.* on the meta device'):
        change(model)
    assert nets.classes(model) == before
    assert set(vars(model)) == inside


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda m: pack_masks(m, info={1: 2}), 'a key of info must be'),
        (lambda m: pack_masks(m, info=dict(a={2.0: 1})), r"key of info\['a'"),
        (lambda m: pack_masks(m, info=['task']), 'info must be a dict'),
        (lambda m: load_masks(m, {}), 'source must be a path or an Adapter'),
        (lambda m: load_masks(m, 'x', only=None), 'only must be a text'),
        (lambda m: pack_masks(None), 'model must be a module, got None'),
        (lambda m: merge_masks(m.state_dict()), 'model must be a module'),
        (lambda m: mask_report([m]), 'model must be a module'),
    ],
)
def test_what_is_of_another_kind_is_named(call, message):
    with pytest.raises(TypeError, match=message):
        call(nets.masked_small('score'))
