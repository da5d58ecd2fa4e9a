# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import enum
import io
from collections import OrderedDict, deque, namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from torch import nn

from mask_plugins.engine.checkpoint.checkpoint_guard import UNPICKLES
from mask_plugins.engine.checkpoint.plain_checkpoint import (
    KEY,
    from_plain,
    to_plain,
)


def round_trip(checkpoint):
    """What comes back through a file that is read safely."""
    dropped = to_plain(checkpoint)
    file = io.BytesIO()
    torch.save(checkpoint, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    from_plain(loaded)
    return loaded, dropped


NEWER = pytest.mark.skipif(
    UNPICKLES, reason='torch reads complex numbers and bytes from 2.6 on'
)
ARRAYS = [
    np.arange(6, dtype=np.int16).reshape(2, 3),
    np.arange(6.0)[::-2],
    np.array(2.5),
    np.zeros((0, 3), np.float32),
    np.array([1, 2], dtype='>i4'),
    np.array(['a', 'bc']),
    np.array([True, False]),
    np.array([1 + 2j]),
]


@pytest.mark.parametrize('value', ARRAYS)
def test_arrays(value):
    loaded, dropped = round_trip(dict(a=dict(b=[value])))
    found = loaded['a']['b'][0]
    assert dropped == []
    assert isinstance(found, np.ndarray)
    assert found.dtype == value.dtype
    assert found.shape == value.shape
    np.testing.assert_array_equal(found, value)
    assert set(loaded) == {'a'}


@pytest.mark.parametrize(
    'value',
    [
        np.float64(1 / 3),
        np.float32(0.1),
        np.int64(-3),
        np.bool_(True),
        {1, 2},
        frozenset('ab'),
        deque([1, 2], maxlen=3),
        Path('a/b'),
        ConfigDict(a=dict(b=(1, 2))),
        (1, (np.float64(2), 'x')),
        dict(a=None, b=torch.float16, c=float('inf')),
        pytest.param(1 + 2j, marks=NEWER),
        pytest.param(b'x', marks=NEWER),
        OrderedDict(x=[]),
    ],
)
def test_other_values(value):
    loaded, dropped = round_trip(dict(a=value))
    assert dropped == []
    assert type(loaded['a']) is type(value)
    assert loaded['a'] == value


@pytest.mark.parametrize('numbers', [[1, 2, 3], [0.1, float('nan'), 2e-300]])
def test_history_buffers(numbers):
    buffer = HistoryBuffer(max_length=100)
    for number in numbers:
        buffer.update(number, count=2)
    loaded, _ = round_trip(dict(hub=dict(log_scalars=dict(loss=buffer))))
    found = loaded['hub']['log_scalars']['loss']
    for a, b in zip(found.data, buffer.data):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert found.max_length == 100
    for name in ('mean', 'max', 'min', 'current'):
        np.testing.assert_equal(
            found.statistics(name), buffer.statistics(name)
        )
    found.update(4)
    assert found.current() == 4
    assert len(buffer.data[0]) == len(numbers)


def test_a_reader_that_knows_nothing_sees_natural_values():
    checkpoint = dict(meta=dict(sigmas=np.ones(2)), best=np.float64(0.5))
    to_plain(checkpoint)
    ones = torch.ones(2, dtype=torch.float64)
    assert torch.equal(checkpoint['meta']['sigmas'], ones)
    assert type(checkpoint['best']) is float


def test_live_objects_are_not_changed():
    live = dict(scores=[np.float64(1)], nested=dict(array=np.ones(2)))
    checkpoint = dict(live=live)
    to_plain(checkpoint)
    checkpoint['live']['nested']['array'].zero_()
    assert isinstance(live['scores'][0], np.float64)
    np.testing.assert_array_equal(live['nested']['array'], np.ones(2))


def test_state_dict_keeps_versions_and_order():
    state = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1)).state_dict()
    loaded, dropped = round_trip(dict(state_dict=state))
    assert dropped == []
    assert list(loaded['state_dict']) == list(state)
    assert loaded['state_dict']._metadata == state._metadata


class Color(enum.IntEnum):
    RED = 1


def test_what_cannot_be_plain_is_named_and_left_out():
    Point = namedtuple('Point', 'x y')
    cycle = []
    cycle.append(cycle)
    checkpoint = dict(
        a=dict(f=lambda: 0, keep=1),
        b=[object(), 2],
        c=Color.RED,
        d=np.array([object()]),
        e=cycle,
        f=Point(1, 2),
        g={Color.RED: 1},
        h={np.int64(3): 'x'},
    )
    loaded, dropped = round_trip(checkpoint)
    found = [text.split(' ')[0] for text in dropped]
    assert found == ['a.f', 'b.0', 'c', 'd', 'e.0', 'g.' + str(Color.RED)]
    assert loaded == dict(
        a=dict(keep=1), b=[None, 2], e=[None], f=(1, 2), g={}, h={3: 'x'}
    )


def test_missing_parts_and_foreign_checkpoints_are_left_alone():
    checkpoint = dict(a=np.ones(1), b=[np.float64(1), np.float64(2)])
    to_plain(checkpoint)
    del checkpoint['a']
    checkpoint['b'].pop()
    from_plain(checkpoint)
    assert checkpoint == dict(b=[1.0])
    assert KEY not in checkpoint
    stock = dict(state_dict=dict(w=1))
    from_plain(stock)
    assert stock == dict(state_dict=dict(w=1))
