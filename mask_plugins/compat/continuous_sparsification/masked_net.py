# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The base class of networks in the authors' code."""

from typing import Any, Dict, List

from torch import nn

from mask_plugins.compat.rewindable import Rewindable

from .soft_masked_conv2d import SoftMaskedConv2d


class MaskedNet(Rewindable, nn.Module):
    """A network of masked convolutions; subclass it.

    A forward passes ``self.temp`` and ``self.ticket`` to each
    :class:`SoftMaskedConv2d`, as ``self.conv(x, self.temp, self.ticket)``.
    Where it differs from the authors' class:

    - ``checkpoint`` keeps every parameter and buffer but the masks (there only
      those of convolutions, linear layers and batch norm); a second one
      changes nothing (there, with one round, the ticket phase overwrites the
      point).
    - What it kept, ``temp`` and ``ticket`` are in the state dict (there lost
      on a restart). Rewinding to nothing is an error.
    - ``copy.deepcopy`` works after a forward, and ``mask_modules`` of a copy
      are its own.
    - Logits are named ``conv.weight_mask.logits`` (there
      ``conv.mask_weight``).

    Attributes:
        temp (float): Inverse temperature.
        ticket (bool): Whether the masks are hard.

    Examples:
        >>> class Net(MaskedNet):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.conv = SoftMaskedConv2d(3, 4, 3)
        ...     def forward(self, x):
        ...         return self.conv(x, self.temp, self.ticket)
        >>> len(Net().mask_modules)
        1
    """

    def __init__(self) -> None:
        super().__init__()
        self.temp = 1.0
        self.ticket = False

    @property
    def mask_modules(self) -> List[SoftMaskedConv2d]:
        """All masked layers, those of copies and replicas too."""
        return [m for m in self.modules() if isinstance(m, SoftMaskedConv2d)]

    @mask_modules.setter
    def mask_modules(self, modules: List[nn.Module]) -> None:
        """Ignored: networks of the original assign the list."""

    def prune(self) -> None:
        """Between rounds: all logits become min(temp * s, s0), in place.

        The temperature is that of ``self.temp``, so call it before that is
        reset: the authors' script resets it to 1 first, and most of what the
        annealing had turned off comes back.
        """
        for module in self.mask_modules:
            module.prune(self.temp)

    def get_extra_state(self) -> Dict[str, Any]:
        """See :class:`Rewindable`."""
        state = super().get_extra_state()
        return dict(state, temp=self.temp, ticket=self.ticket)

    def set_extra_state(self, state: Dict[str, Any]) -> None:
        """See :class:`Rewindable`."""
        super().set_extra_state(state)
        self.temp, self.ticket = state['temp'], state['ticket']
