# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Convolutions whose weights lie in the order of the CPU's library."""

import copy

from torch import Tensor, nn

from mask_plugins.core.patches.step import Step


class PackedConv2d(nn.Module):
    """A convolution for inference, its weight packed once.

    Args:
        conv (nn.Conv2d): Left as it is.

    Examples:
        >>> import torch
        >>> conv, x = nn.Conv2d(8, 8, 3), torch.ones(1, 8, 8, 8)
        >>> bool(torch.allclose(PackedConv2d(conv)(x), conv(x), atol=1e-5))
        True
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.step = Step(conv)
        self._folded = self.step.folded()

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution."""
        return self.step.on_map(x, self._folded)


def pack_convolutions(network: nn.Module) -> nn.Module:
    """A copy of a network with packed weights.

    Args:
        network (nn.Module): In eval mode, float32 on a CPU.

    Examples:
        >>> pack_convolutions(nn.Sequential(nn.Conv2d(3, 4, 3)))
        Sequential(
          (0): PackedConv2d()
        )
    """
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d):
                setattr(parent, name, PackedConv2d(child))
    return network
