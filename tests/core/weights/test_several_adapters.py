# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Batches of several adapters, and votes of adapters."""

import copy
from collections import OrderedDict
from typing import NamedTuple, Optional

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

from mask_plugins.core.weights import (
    ScoreMask,
    activate_masks,
    active_masks,
    apply_adapters,
    apply_weight_masks,
    combine_adapters,
    load_masks,
    pack_masks,
)
from mask_plugins.utils.compat_torch import COMPILES_MASKS


def base():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5)
    )
    return net.requires_grad_(False).eval()


def adapter(seed):
    net = apply_weight_masks(
        copy.deepcopy(base()), [('*.weight', 'mask'), ('*', 'freeze')],
        ScoreMask,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if name.endswith('scores') or 'running_mean' in name:
            value.normal_(0.2, 1, generator=generator)
    return pack_masks(net)


@pytest.fixture
def loaded():
    net = base()
    for seed in range(3):
        load_masks(net, adapter(seed), f'task{seed}', activate=False)
    return net


def test_each_row_is_that_of_its_adapter(loaded):
    x = torch.rand(7, 3, 4, 4)
    names = ['task2', None, 'task0', 'task2', 'task1', None, 'task0']
    activate_masks(loaded, 'task1')
    found = apply_adapters(loaded, x, names)
    assert active_masks(loaded) == 'task1'
    for row, name in zip(range(7), names):
        activate_masks(loaded, name)
        # Kernels differ with the size of the batch, by rounding.
        alone = loaded(x[row : row + 1])[0]
        torch.testing.assert_close(found[row], alone, rtol=1e-5, atol=1e-6)
    pair = apply_adapters(loaded, x, names, lambda y: (y, loaded(y)))
    assert torch.equal(pair[0], x)
    torch.testing.assert_close(pair[1], found)


class Output(NamedTuple):
    same: torch.Tensor
    loss: Optional[torch.Tensor]


def test_outputs_of_any_structure_keep_it(loaded):
    x, names = torch.rand(3, 3, 4, 4), ['task2', None, 'task0']
    found = apply_adapters(
        loaded, x, names, lambda y: OrderedDict(out=[y], more=Output(y, None))
    )
    assert type(found) is OrderedDict
    assert type(found['more']) is Output
    assert torch.equal(found['out'][0], x)
    assert torch.equal(found['more'].same, x)
    assert found['more'].loss is None
    assert apply_adapters(loaded, x[:0], []).shape == (0, 5)


def test_a_switch_does_not_compile_again(loaded):
    """Bits are copied into the masks that are there."""
    torch._dynamo.reset()
    activate_masks(loaded, 'task0')
    counter = CompileCounter()
    compiled = torch.compile(loaded, backend=counter)
    x = torch.rand(2, 3, 4, 4)
    with torch.no_grad():
        outputs = []
        for name in ('task0', 'task1', 'task2', 'task0'):
            activate_masks(loaded, name)
            outputs.append(compiled(x))
            torch.testing.assert_close(outputs[-1], loaded(x))
    assert not torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[3])
    assert counter.frame_count == COMPILES_MASKS  # else it runs eagerly


@pytest.mark.parametrize(
    ('call', 'error', 'words'),
    [
        (lambda n, x: apply_adapters(n, x, ['task0']), ValueError, 'names'),
        (lambda n, x: apply_adapters(n, x, ['a', 'b']), KeyError, "'a', 'b'"),
        (
            lambda n, x: apply_adapters(n.train(), x, ['task0'] * 2),
            ValueError,
            'eval mode',
        ),
        (
            lambda n, x: apply_adapters(n, x, ['task0'] * 2, str),
            TypeError,
            'must return tensors.*got str',
        ),
    ],
)
def test_bad_batches_are_refused(loaded, call, error, words):
    with pytest.raises(error, match=words):
        call(loaded, torch.rand(2, 3, 4, 4))


def bits(item, name='3.weight'):
    net = load_masks(base(), item)
    return (net[3].weight_mask(torch.ones(5, 16)) != 0) if name else None


@pytest.mark.parametrize(
    ('how', 'weights', 'vote'),
    [
        ('and', None, lambda on: on.all(0)),
        ('or', None, lambda on: on.any(0)),
        ('majority', None, lambda on: on.sum(0) >= 2),
        ('weighted', [3, 1, 1], lambda on: on[0]),
        ('weighted', [1, 1, 0], lambda on: on[0] & on[1]),
    ],
)
def test_votes(how, weights, vote):
    items = [adapter(seed) for seed in range(3)]
    on = torch.stack([bits(item) for item in items])
    found = combine_adapters(items, how, weights)
    assert torch.equal(bits(found), vote(on))
    share = torch.tensor(weights or [1, 1, 1]).double()
    share /= share.sum()
    means = torch.stack([i.state['1.running_mean'] for i in items]).double()
    torch.testing.assert_close(
        found.state['1.running_mean'].double(),
        (share[:, None] * means).sum(0),
        rtol=1e-6,
        atol=1e-7,
    )


def other_base():
    net = base()
    net[0].weight.data += 1
    net = apply_weight_masks(
        net, [('*.weight', 'mask'), ('*', 'freeze')], ScoreMask
    )
    return pack_masks(net)


@pytest.mark.parametrize(
    ('items', 'options', 'words'),
    [
        (lambda: [adapter(0)], {}, 'two or more'),
        (lambda: [adapter(0)] * 2, dict(how='xor'), 'how'),
        (lambda: [adapter(0)] * 2, dict(weights=[1, 1]), 'weighted'),
        (
            lambda: [adapter(0)] * 2,
            dict(how='weighted', weights=[0, 0]),
            'weights',
        ),
        (lambda: [adapter(0), other_base()], {}, 'base weights'),
        (lambda: 'one.safetensors', {}, 'adapters must be a list'),
    ],
)
def test_what_does_not_combine_is_refused(items, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        combine_adapters(items(), **options)
