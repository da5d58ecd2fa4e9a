# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How far an output is from what it should be."""

import torch
from torch import Tensor


@torch.no_grad()
def relative_l2(output: Tensor, target: Tensor) -> Tensor:
    """:math:`||output - target|| / ||target||` of each sample, in fp64.

    Args:
        output (Tensor): :math:`(B, ...)`.
        target (Tensor): Of the same shape.

    Returns:
        Tensor: :math:`(B,)`; 0 where both are zero, infinite where only the
        target is.
    """
    output, target = output.flatten(1).double(), target.flatten(1).double()
    difference = torch.linalg.vector_norm(output - target, dim=1)
    norm = torch.linalg.vector_norm(target, dim=1)
    return torch.where(difference == 0, difference, difference / norm)
