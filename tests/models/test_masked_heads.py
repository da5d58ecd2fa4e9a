# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masked heads; their values are in tests/golden."""

import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.structures import DataSample

from mask_plugins.core.weights import (
    disable_masks,
    load_masks,
    merge_masks,
    named_masks,
    pack_masks,
)
from tests.common.equal import assert_equal


def build(kind='Linear', **options):
    cfg = dict(type=f'mask_plugins.Masked{kind}ClsHead', num_classes=3)
    return MODELS.build({**cfg, 'in_channels': 8, **options})


def test_the_frozen_weight_is_a_function_of_the_seed():
    torch.manual_seed(0)
    a, b = build(), build()
    assert isinstance(a, LinearClsHead)
    assert a.fc.weight.equal(b.fc.weight)
    assert not a.fc.weight.equal(build(seed=1).fc.weight)
    assert a.fc.weight.abs().max() <= 8**-0.5
    a.init_weights()
    assert a.fc.weight.equal(b.fc.weight)
    drawn = build(seed=None), build(seed=None)
    assert not drawn[0].fc.weight.equal(drawn[1].fc.weight)
    assert a.fc.bias is None
    assert not a.fc.weight.requires_grad


def test_hidden_layers():
    head = build(hidden_channels=[16, 4])
    shapes = [tuple(i.mask.scores.shape) for i in named_masks(head)]
    assert sorted(shapes) == [(3, 4), (4, 16), (16, 8)]
    x = torch.randn(5, 8)
    expected = x
    for layer in head.hidden:
        expected = torch.relu(expected @ layer.weight.t())
    expected = expected @ head.fc.weight.t()
    torch.testing.assert_close(head((x,)), expected)


@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        ('Linear', dict()),
        ('Linear', dict(hidden_channels=[16])),
        ('Constant', dict()),
        ('Constant', dict(sign='negative')),
    ],
)
def test_it_learns(kind, options):
    """Three classes that are three directions."""
    torch.manual_seed(0)
    head = build(kind, in_channels=64, **options)
    labels = torch.arange(60) % 3
    x = 0.1 * torch.randn(60, 8)
    x[torch.arange(60), labels] += 1
    x = x.repeat(1, 8)  # of some copies the weight points the right way
    samples = [DataSample().set_gt_label(int(label)) for label in labels]
    frozen = [p for p in head.parameters() if not p.requires_grad]
    before = [p.clone() for p in frozen]
    trained = [p for p in head.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=20.0, momentum=0.9)
    losses = []
    for _ in range(60):
        loss = head.loss((x,), samples)['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-10:]) < 0.85 * losses[0]
    assert (head((x,)).argmax(1) == labels).float().mean() > 0.8
    assert_equal(frozen, before)


def test_an_adapter_of_one_fits_another():
    """Not even the random weight has to be stored."""
    head, other = build(), merge_masks(build())
    with torch.no_grad():
        head.fc.weight_mask.scores.uniform_(-1, 1)
    x = torch.randn(4, 8)
    load_masks(other, pack_masks(head))
    assert other((x,)).equal(head((x,)))
    with disable_masks(head):
        assert head((x,)).equal(x @ head.fc.weight.t())
    expected = head((x,))
    torch.testing.assert_close(merge_masks(head)((x,)), expected)


def test_bad_options():
    with pytest.raises(ValueError, match="one of .*dual.*, got 'both'"):
        build('Constant', sign='both')
    with pytest.raises(TypeError, match='mask must be a dict'):
        build(mask='scores')
