# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A linear layer whose frozen weight is random: its mask is what learns."""

import math
from typing import Any, Dict, Optional

import torch
from torch import nn

from mask_plugins.core.weights import apply_weight_masks
from mask_plugins.models.masked_model import mask_factory

SCORES = dict(type='mask_plugins.ScoreMask')


def masked_linear(
    in_features: int,
    out_features: int,
    mask: Optional[Dict[str, Any]] = None,
    seed: Optional[int] = None,
    constant: Optional[float] = None,
) -> nn.Linear:
    """A masked linear layer without bias.

    Its frozen weight is drawn as that of :class:`torch.nn.Linear`, uniform in
    +-1 / sqrt(in_features), or is a constant.

    Args:
        in_features (int): Channels of the input.
        out_features (int): Channels of the output.
        mask (dict, optional): Config of the mask. Defaults to None,
            ``mask_plugins.ScoreMask`` with scores of 1.
        seed (int, optional): The weight is a function of shape and seed, so
            that the bits of the mask are all there is to store. Defaults to
            None: drawn from the global generator.
        constant (float, optional): Value of the weight. Defaults to None.

    Returns:
        nn.Linear: Of a subclass, with a ``weight_mask``.

    Examples:
        >>> layer = masked_linear(4, 3, seed=0)
        >>> layer.weight_mask, layer.weight.requires_grad
        (ScoreMask(3x4, threshold, 0), False)
    """
    layer = nn.Linear(in_features, out_features, bias=False)
    with torch.no_grad():
        if constant is not None:
            layer.weight.fill_(constant)
        elif seed is not None:
            bound = 1 / math.sqrt(in_features)
            generator = torch.Generator().manual_seed(seed)
            # On the CPU also where the model is built on another device.
            drawn = torch.empty(layer.weight.shape, device='cpu')
            drawn.uniform_(-bound, bound, generator=generator)
            layer.weight.copy_(drawn)
    make = mask_factory(SCORES if mask is None else mask)
    return apply_weight_masks(layer, [('weight', 'mask')], make)
