# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How far two exact ways of computing a network may be from each other."""

import torch
from torch import nn


def rounding(network, dtype=torch.float32):
    """Error of a network, relative to the largest value of its output.

    Two kernels add up the same products in another order: a sum of n terms
    then differs by about the square root of n times half of the precision,
    and each layer adds to what those before it did.
    """
    half = torch.finfo(dtype).eps / 2
    layers = [
        m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))
    ]
    return half * sum(layer.weight[0].numel() ** 0.5 for layer in layers)


def error(output, target):
    """Largest difference, relative to the largest value."""
    difference = (output - target).detach().abs().max()
    return float(difference / target.detach().abs().max())
