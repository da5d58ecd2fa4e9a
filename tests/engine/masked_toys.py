# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Toy models with masks, for the toy runner."""

from functools import partial

import torch
from torch import nn
from torch.nn import functional

from mask_plugins.core.weights import ScoreMask, SoftMask, apply_weight_masks

from .toys import ToyModel


class Hidden(ToyModel):
    """Two layers of 8 weights."""

    mask = partial(ScoreMask, init=torch.randn_like)

    def __init__(self):
        super().__init__()
        del self.linear, self.drop
        self.drop = nn.Identity()
        self.linear = nn.Sequential(nn.Linear(1, 8), nn.Linear(8, 1))
        rules = [('*weight', 'mask')]
        apply_weight_masks(self, rules, self.mask)


class Soft(Hidden):
    """Soft masks that begin at s0 = -0.1."""

    mask = partial(SoftMask, init=-0.1)


class All(Hidden):
    """All scores are 1."""

    mask = partial(ScoreMask, init=1.0)


class Far(Hidden):
    """Scores that no rate brings to the threshold."""

    mask = partial(ScoreMask, init=1000.0)


class Past(Hidden):
    """Computes with the second weight itself, past its mask."""

    def second(self):
        return self.linear[1]._parameters['weight']

    def forward(self, x, y, mode='tensor', **kwargs):
        x = torch.as_tensor(x, dtype=torch.float32)[:, None] / 12
        y = torch.as_tensor(y, dtype=torch.float32)[:, None] / 12
        first, second = self.linear
        out = functional.linear(first(x), self.second(), second.bias)
        if mode == 'loss':
            return dict(loss=(out - y).square().mean())
        return [dict(out=value.item()) for value in out]
