# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The masked convolution of the authors' code."""

from typing import Any, Union

import torch
from torch import Tensor, nn

from mask_plugins.compat.rewindable import Rewindable
from mask_plugins.core.weights import SoftMaskConv2d, soft_mask, ticket_mask

Size = Union[int, tuple]


class SoftMaskedConv2d(Rewindable, SoftMaskConv2d):
    """A convolution that is told temperature and ticket at each call.

    Names, defaults and order of arguments are those of the authors' layer:
    no bias, a padding of 1, weights from Xavier's normal distribution. Where
    it differs:

    - Groups, dilation, bias and the rest of ``torch.nn.Conv2d`` work as well,
      and it is one (``isinstance``).
    - :attr:`mask` is computed when it is read (there a forward leaves it, and
      its graph, on the layer, so that ``copy.deepcopy`` fails).
    - A ticket keeps the dtype of the layer (there it is rounded to float32).
    - :meth:`init_mask` and :meth:`prune` write in place, so that an optimizer
      keeps its state; ``rewind_weights`` without ``checkpoint`` is an error
      (there the weights become 0).

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel_size (int | tuple): Size of the kernel.
        padding (int | tuple | str): Defaults to 1.
        stride (int | tuple): Defaults to 1.
        mask_initial_value (float): Initial value s0 of the logits. Defaults
            to 0.
        **kwargs: See ``torch.nn.Conv2d``.

    Examples:
        >>> conv = SoftMaskedConv2d(3, 4, 3, mask_initial_value=0.1)
        >>> conv(torch.ones(1, 3, 8, 8), temp=50.0, ticket=False).shape
        torch.Size([1, 4, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        padding: Union[Size, str] = 1,
        stride: Size = 1,
        mask_initial_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault('bias', False)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            mask_init=mask_initial_value,
            **kwargs,
        )
        nn.init.xavier_normal_(self.weight)

    @property
    def mask_weight(self) -> nn.Parameter:
        """The logits."""
        return self.weight_mask.logits

    @property
    def mask_initial_value(self) -> float:
        """Initial value of the logits."""
        return self.weight_mask.init

    @property
    def mask(self) -> Tensor:
        """The mask of the last call, computed again, with its graph."""
        mask = self.weight_mask
        return self.compute_mask(mask.temperature, mask.ticket)

    def init_mask(self) -> None:
        """Set the logits to their initial value, in place."""
        with torch.no_grad():
            self.mask_weight.fill_(self.mask_initial_value)

    def compute_mask(self, temp: Union[float, Tensor], ticket: bool) -> Tensor:
        """The mask with its constant 1 / sigmoid(s0); nothing is stored.

        Args:
            temp (float | Tensor): Inverse temperature.
            ticket (bool): Whether the mask is hard.

        Returns:
            Tensor: Of the shape of the weight.
        """
        scale = self.weight_mask.scale
        if ticket:
            return ticket_mask(self.mask_weight, scale)
        return soft_mask(self.mask_weight, temp, scale)

    def prune(self, temp: float) -> None:
        """Between rounds: the logits become min(temp * s, s0), in place.

        Args:
            temp (float): Inverse temperature of the last epoch.
        """
        self.weight_mask.prune(temp)

    def forward(
        self, x: Tensor, temp: float = 1.0, ticket: bool = False
    ) -> Tensor:
        """Convolve with the masked weight.

        Args:
            x (Tensor): :math:`(B, C, H, W)`.
            temp (float): Inverse temperature. Defaults to 1.
            ticket (bool): Whether the mask is hard; its logits are then
                frozen. Defaults to False.
        """
        mask = self.weight_mask
        if mask.ticket != ticket:
            mask.ticket = ticket
        mask.temperature = temp
        return super().forward(x)
