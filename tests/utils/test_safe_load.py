# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The reader of foreign files reads what is sound and runs nothing."""

import argparse
import pickle
import random
import time
import tracemalloc
from collections import OrderedDict, deque
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch import nn

from mask_plugins.utils.safe_load import read_checkpoint
from tests.common.foreign_files import FOREIGN, script, touch

LEGACY = dict(_use_new_zipfile_serialization=False)
SAVED = [dict(), LEGACY, dict(pickle_protocol=4)]
# These hold no code and no lie, but what is in them is not weights.
READABLE = {'odd-zip_of_text', 'code-script'}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()


@pytest.mark.parametrize('options', SAVED, ids=['zip', 'legacy', 'protocol4'])
def test_what_torch_saves_is_read(tmp_path, options):
    state = network().state_dict()
    shared = torch.arange(6.0)
    parameter = nn.Parameter(shared)
    parameter.note = 'kept by torch, not by us'
    saved = dict(
        state_dict=state,
        tied=[shared, shared],
        views=(shared[2:4], shared.view(2, 3).t()),
        parameter=parameter,
        half=torch.ones(3).bfloat16(),
        small=torch.tensor([True, False]),
        empty=torch.empty(0, 3),
        spread=torch.ones(1).expand(1000),
        plain=[None, True, -5, 2**70, 0.1, 'ä', b'\xff', {1: {2: ()}}],
        dtype=torch.float16,
        size=torch.Size([2, 3]),
        device=torch.device('cuda:1'),
    )
    torch.save(saved, tmp_path / 'a.pth', **options)
    found = read_checkpoint(tmp_path / 'a.pth')
    assert found.keys() == saved.keys()
    assert type(found['state_dict']) is OrderedDict
    assert found['state_dict']._metadata == state._metadata
    for key, value in state.items():
        assert found['state_dict'][key].equal(value)
        assert found['state_dict'][key].stride() == value.stride()
    assert found['tied'][0] is found['tied'][1]
    for name in ('parameter', 'half', 'small', 'empty', 'spread'):
        assert found[name].dtype == saved[name].dtype
        assert found[name].equal(saved[name].data)
        assert not found[name].requires_grad
    assert all(map(torch.equal, found['views'], saved['views']))
    for name in ('plain', 'dtype', 'size', 'device'):
        assert found[name] == saved[name]
    # A storage is shared as it was.
    found['tied'][0][2] = 9
    assert found['views'][0][0] == 9


@pytest.mark.parametrize('options', SAVED, ids=['zip', 'legacy', 'protocol4'])
def test_what_mmengine_and_others_keep_becomes_plain(tmp_path, options):
    history = HistoryBuffer([1.5, 2.5], [1, 2])
    saved = dict(
        history=history,
        scalar=np.float32(3),
        array=np.arange(6).reshape(2, 3).T,
        names=np.array(['a', 'bc']),
        cfg=ConfigDict(a=dict(b=[1, 2])),
        args=argparse.Namespace(lr=0.1),
        queue=deque([1, 2], 3),
        chosen={1, 'a'},
        folder=Path('a/b'),
    )
    torch.save(saved, tmp_path / 'a.pth', **options)
    found = read_checkpoint(tmp_path / 'a.pth')
    log, count = history.data
    assert np.array_equal(found['history']['_log_history'], log)
    assert np.array_equal(found['history']['_count_history'], count)
    assert found['history']['max_length'] == history.max_length
    assert np.array_equal(found['array'], saved['array'])
    assert found['names'].tolist() == ['a', 'bc']
    assert found['scalar'] == 3.0
    assert type(found['scalar']) is float
    assert found['cfg'] == {'a': {'b': [1, 2]}}
    assert type(found['cfg']) is dict
    assert found['args'] == dict(lr=0.1)
    assert found['queue'] == [1, 2]
    assert found['chosen'] == {1, 'a'}
    assert found['folder'] == 'a/b'


def test_safetensors_and_torch_script(tmp_path):
    net = network()
    save_file(net.state_dict(), tmp_path / 'a.safetensors')
    (tmp_path / 'a.safetensors').rename(tmp_path / 'renamed.pth')
    torch.jit.script(net).save(str(tmp_path / 'a.pt'))
    torch.jit.trace(net, torch.ones(1, 3, 8, 8)).save(str(tmp_path / 'b.pt'))
    for name in ('renamed.pth', 'a.pt', 'b.pt'):
        found = read_checkpoint(tmp_path / name)
        assert found.keys() == net.state_dict().keys()
        for key, value in net.state_dict().items():
            assert found[key].equal(value)


def test_the_script_file_is_dangerous_to_torch(tmp_path):
    script(tmp_path / 'a.pt', tmp_path / 'canary')
    assert not (tmp_path / 'canary').exists()
    torch.jit.load(str(tmp_path / 'a.pt'))
    assert (tmp_path / 'canary').exists()


@pytest.mark.parametrize('name', FOREIGN)
def test_foreign_files(tmp_path, name):
    path, canary = tmp_path / 'foreign.pth', tmp_path / 'canary'
    FOREIGN[name](path, canary)
    size = path.stat().st_size if path.is_file() else 0
    tracemalloc.start()
    start = time.process_time()
    try:
        if name in READABLE:
            assert read_checkpoint(path) in ({}, 'hello')
        else:
            with pytest.raises((ValueError, OSError), match=r'foreign\.pth'):
                read_checkpoint(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 20
    # Twice, as pickle and as values.
    assert peak < 3 * ((16 << 20) + 16 * size)
    assert not canary.exists()


def test_a_pickle_in_extra_state_stays_bytes(tmp_path):
    inner = pickle.dumps(touch(tmp_path / 'canary'))
    torch.save({'a._extra_state': inner}, tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth') == {'a._extra_state': inner}
    assert not (tmp_path / 'canary').exists()


def sound_files(folder):
    """One of each format; of those with checksums also what is in it."""
    net = network()
    state = dict(net.state_dict())
    meta = dict(log=HistoryBuffer([1.0], [1]), args=argparse.Namespace(a=1))
    for name, options in zip(('stock.pth', 'legacy.pth'), SAVED):
        saved = dict(state_dict=state, meta=meta)
        torch.save(saved, folder / name, **options)
    torch.jit.script(net).save(str(folder / 'script.pth'))
    save_file(state, folder / 'flat.safetensors')
    return state


@pytest.mark.parametrize(
    'name', ['stock.pth', 'legacy.pth', 'script.pth', 'flat.safetensors']
)
def test_damaged_files_give_one_error(tmp_path, name):
    state = sound_files(tmp_path)
    sound = (tmp_path / name).read_bytes()
    path = tmp_path / f'damaged-{name}'
    rng = random.Random(0)
    messages = []
    for number in range(250):
        data = bytearray(sound)
        place = rng.randrange(len(data))
        if number % 3 == 0:
            del data[place:]
        elif number % 3 == 1:
            for _ in range(rng.choice((1, 1, 4))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        else:
            data[place : place + 16] = rng.randbytes(16)
        path.write_bytes(data)
        try:
            found = read_checkpoint(path)
        except ValueError as error:
            messages.append(str(error))
            continue
        if name in ('stock.pth', 'script.pth'):
            # Zip files have checksums: it is as it was.
            found = found.get('state_dict', found)
            assert all(found[key].equal(value) for key, value in state.items())
    assert len(messages) > 50
    for message in messages:
        assert path.name in message
        assert '\n' not in message
