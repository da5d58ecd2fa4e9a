# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Toy models with masks, for the toy runner."""

from functools import partial

import torch
from torch import nn

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
