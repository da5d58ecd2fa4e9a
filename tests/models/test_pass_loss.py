# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The loss of PASS, by hand."""

import math

import pytest
import torch
from torch import nn

from mask_plugins.models.losses import PASSLoss
from mask_plugins.registry import MODELS


def features():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 3, 5, 5, generator=generator) for _ in range(3)]


def test_the_triplet_is_that_of_torch_on_flattened_features():
    loss = PASSLoss(budget_weight=0)
    anchor, positive, negative = features()
    found = loss(anchor, positive, negative, torch.tensor(0.0))
    expected = nn.TripletMarginLoss(200.0)(
        anchor.flatten(1), positive.flatten(1), negative.flatten(1)
    )
    distances = {'distance_positive', 'distance_negative'}
    assert found.keys() == {'loss_triplet', *distances}
    torch.testing.assert_close(found['loss_triplet'], expected)
    scaled = PASSLoss(normalize=True, margin=1.0, budget_weight=0)
    value = scaled(anchor, positive, negative, torch.tensor(0.0))
    difference = found['distance_positive'] - found['distance_negative']
    size = math.sqrt(anchor[0].numel())
    assert float(value['loss_triplet']) == pytest.approx(
        1 + float(difference) / size, abs=0.2
    )


def test_the_budget_pulls_up_and_the_ceiling_down():
    limits = dict(budget=0.6, max_skip_ratio=0.9)
    weights = dict(budget=10.0, ceiling=5.0, consistency=2.0)
    weights = {f'{name}_weight': value for name, value in weights.items()}
    cfg = dict(limits, type='mask_plugins.PASSLoss', **weights)
    loss = MODELS.build(cfg)
    anchor, positive, negative = features()
    for ratio, budget, ceiling in (
        (0.4, 0.4, 0.0),
        (0.7, 0.0, 0.0),
        (1.0, 0.0, 0.05),
    ):
        skip = torch.tensor(ratio, requires_grad=True)
        terms = loss(anchor, positive, negative, skip)
        assert float(terms['loss_budget']) == pytest.approx(budget)
        assert float(terms['loss_ceiling']) == pytest.approx(ceiling)
        (terms['loss_budget'] + terms['loss_ceiling']).backward()
        assert math.copysign(1, skip.grad) == (-1 if ratio < 0.6 else 1)
    error = (anchor - positive).flatten(1).square().sum(1)
    error = (error / anchor.flatten(1).square().sum(1)).mean()
    assert float(terms['loss_consistency']) == pytest.approx(2 * float(error))


def test_gradients():
    anchor, positive, negative = (f.requires_grad_() for f in features())
    terms = PASSLoss()(anchor, positive, negative, torch.tensor(0.0))
    sum(v for k, v in terms.items() if 'loss' in k).backward()
    assert anchor.grad is None  # what is not masked is no target to move
    assert positive.grad.abs().sum() > 0
    same = PASSLoss()(anchor, anchor, negative, torch.tensor(0.0))
    assert torch.isfinite(same['loss_triplet'])


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        *(('margin', -1), ('budget', 1.1), ('budget_weight', float('nan'))),
        *(('max_skip_ratio', -0.1), ('consistency_weight', -1)),
    ],
)
def test_bad_input(name, value):
    with pytest.raises(ValueError, match=name):
        PASSLoss(**{name: value})
