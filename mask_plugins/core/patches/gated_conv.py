# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A convolution behind a gate."""

from typing import Union

from torch import nn

from mask_plugins.utils.checked import checked

from .chain import Chain
from .gated_layer import GatedLayer
from .step import Step


class GatedConvMixin(GatedLayer):
    """What makes an ``nn.Conv2d`` a gated one."""

    def make_chain(self) -> Chain:
        """The convolution itself."""
        return Chain([Step(self)])


class GatedConv2d(GatedConvMixin, nn.Conv2d):
    """A convolution that computes active patches where a state is bound.

    Unbound it is ``nn.Conv2d``, bit for bit; names of its parameters are the
    same. See :class:`GatedLayer` for what the gate's options mean.

    Args:
        *args: As of ``nn.Conv2d``.
        gate (str | dict | Gate): See :func:`build_gate`.
            Defaults to ``'threshold'``.
        reuse (str): ``'output'`` or ``'input'``. Defaults to ``'output'``.
        break_even (str | float): ``'auto'`` or a share of active patches.
            Defaults to ``'auto'``.
        **kwargs: As of ``nn.Conv2d``.

    Examples:
        >>> import torch
        >>> from mask_plugins.core.patches import StreamBinder, StreamState
        >>> conv = GatedConv2d(3, 4, 3, padding=1, gate='exact').eval()
        >>> binder, state = StreamBinder(conv), StreamState()
        >>> frame = torch.zeros(1, 3, 16, 16)
        >>> for _ in range(2):
        ...     with torch.no_grad(), binder.bind(state):
        ...         out = conv(frame)
        >>> state.stats()[''].skip_ratio  # all of the second frame
        0.5
    """

    @checked
    def __init__(
        self,
        *args,
        gate='threshold',
        reuse: str = 'output',
        break_even: Union[str, float] = 'auto',
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.init_gate(gate, self.in_channels, reuse, break_even)
