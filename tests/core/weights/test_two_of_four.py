# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tickets that keep two of each four inputs."""

import itertools

import pytest
import torch
from torch import nn

from mask_plugins.core.weights import (
    SoftMaskConv2d,
    SoftMaskLinear,
    is_two_of_four,
    keep_two_of_four,
    load_masks,
    make_ticket,
    mask_report,
    merge_masks,
    pack_masks,
    to_semi_structured,
)

from . import nets


@pytest.mark.parametrize('shape', [(3, 8), (3, 4, 2, 5), (2, 12, 3)])
def test_the_highest_two_of_each_four(shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    on = keep_two_of_four(values)
    assert on.shape == values.shape
    assert is_two_of_four(on)
    groups, kept = values.unflatten(1, (-1, 4)), on.unflatten(1, (-1, 4))
    assert (kept.sum(dim=2) == 2).all()
    # By hand: of the six pairs of a group, the one with the largest sum.
    pairs = list(itertools.combinations(range(4), 2))
    sums = torch.stack([groups[:, :, p].sum(dim=2) for p in pairs])
    found = groups.masked_fill(~kept, 0).sum(dim=2)
    torch.testing.assert_close(found, sums.amax(dim=0))


def test_ties_and_nan():
    rows = torch.tensor([[1.0] * 4, [torch.nan, 0, 0, -1], [torch.nan] * 4])
    expected = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 0, 0]])
    assert torch.equal(keep_two_of_four(rows).long(), expected)


@pytest.mark.parametrize('shape', [(4, 3), (4, 6, 1, 1), (4,), (4, 0)])
def test_inputs_that_are_no_groups(shape):
    assert not is_two_of_four(torch.zeros(shape))
    with pytest.raises(ValueError, match='must be a multiple of 4'):
        keep_two_of_four(torch.zeros(shape))


@pytest.mark.parametrize('by', ['logit', 'magnitude', 'random'])
def test_a_ticket(by):
    """The stem has two inputs: its highest half, where it finds them."""
    model = nets.masked_small('soft')
    nets.randomize(model)
    make_ticket(model, by=by, pattern='2:4')
    report = mask_report(model)
    assert [row.kept for row in report.rows] == [36, 72]
    assert not is_two_of_four(model.conv1.weight_mask.hard())
    assert is_two_of_four(model.conv2.weight_mask.hard())
    before = model.state_dict()
    if by == 'logit':  # once more changes nothing
        make_ticket(model, sparsity=0.5, pattern='2:4')
        assert all(
            torch.equal(before[k], v) for k, v in model.state_dict().items()
        )


def test_the_pattern_is_in_files(tmp_path):
    model = nets.masked_small('soft')
    nets.randomize(model)
    make_ticket(model, pattern='2:4')
    path = str(tmp_path / 'ticket.safetensors')
    pack_masks(model, path)
    base = merge_masks(model, keep=True)
    assert is_two_of_four(base.conv2.weight)
    fresh = nets.small_base()
    load_masks(fresh, path, strict=False)
    assert is_two_of_four(fresh.conv2.weight_mask.hard())
    assert is_two_of_four(merge_masks(fresh).conv2.weight)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(pattern='1:4'), "pattern must be one of .* got '1:4'"),
        (dict(pattern='2:4', sparsity=0.9), 'must be 0.5 or None, got 0.9'),
    ],
)
def test_other_patterns(options, message):
    layer = SoftMaskConv2d(4, 4, 1)
    with pytest.raises(ValueError, match=message):
        make_ticket(layer, **options)
    assert not layer.weight_mask.ticket


def test_only_what_fits_is_sparse():
    """Without such a GPU what would be sparse is an error, all else stays."""
    fits = merged(64, 32)
    assert is_two_of_four(fits.weight)
    small, conv = merged(8, 4), nn.Conv2d(64, 32, 1)
    assert to_semi_structured(nn.Sequential(small, conv)) == []
    with pytest.raises(ValueError, match='0.weight must be fp16 .*float32'):
        to_semi_structured(nn.Sequential(fits))


@pytest.mark.gpu
def test_sparse_on_a_gpu():
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip('needs sparse tensor cores')
    model = nn.Sequential(merged(128, 64)).cuda().half()
    x = torch.randn(32, 128).cuda().half()
    expected = model(x)
    assert to_semi_structured(model) == ['0.weight']
    torch.testing.assert_close(model(x), expected, rtol=1e-2, atol=1e-2)


def merged(inputs, outputs):
    """A linear layer with a 2:4 ticket baked in."""
    layer = SoftMaskLinear(inputs, outputs)
    nets.randomize(layer)
    make_ticket(layer, pattern='2:4')
    return merge_masks(layer)
