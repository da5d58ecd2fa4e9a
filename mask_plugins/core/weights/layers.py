# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Layers with a soft mask, with all arguments of their torch parents."""

from torch import nn

from mask_plugins.utils.checked import checked

from ..composed import composed_class
from .masked_module import MaskedModule
from .soft_mask import SoftMask

_MASKED_WEIGHT = ((MaskedModule, ('weight',)),)


class _SoftWeight:
    @checked
    def __init__(
        self,
        *args,
        mask_init: float = 0.0,
        ticket_scale: str = 'keep',
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.weight_mask = SoftMask(self.weight, mask_init, ticket_scale)


# The torch parent stands as a direct base too: mmengine's initializers
# match layers by the names of those.
class SoftMaskConv2d(
    _SoftWeight, composed_class(nn.Conv2d, _MASKED_WEIGHT), nn.Conv2d
):
    """``torch.nn.Conv2d`` whose weight has a :class:`SoftMask`.

    The bias is not masked. Anneal the mask with
    ``mask_plugins.ContinuousSparsificationHook`` or by setting
    ``weight_mask.temperature``.

    Args:
        *args: See ``torch.nn.Conv2d``.
        mask_init (float): Initial value of the logits. Defaults to 0.
        ticket_scale (str): See :class:`SoftMask`. Defaults to ``'keep'``.
        **kwargs: See ``torch.nn.Conv2d``.

    Examples:
        >>> import torch
        >>> conv = SoftMaskConv2d(2, 3, 1, mask_init=-0.1)
        >>> conv.weight_mask.temperature = 50.
        >>> conv(torch.ones(1, 2, 4, 4)).shape
        torch.Size([1, 3, 4, 4])
    """


class SoftMaskLinear(
    _SoftWeight, composed_class(nn.Linear, _MASKED_WEIGHT), nn.Linear
):
    """``torch.nn.Linear`` whose weight has a :class:`SoftMask`.

    The bias is not masked. Without a normalization after it, the constant
    ``1 / sigmoid(mask_init)`` of a ticket doubles what is kept:
    ``ticket_scale='one'`` leaves it out.

    Args:
        *args: See ``torch.nn.Linear``.
        mask_init (float): Initial value of the logits. Defaults to 0.
        ticket_scale (str): See :class:`SoftMask`. Defaults to ``'keep'``.
        **kwargs: See ``torch.nn.Linear``.

    Examples:
        >>> SoftMaskLinear(4, 3, ticket_scale='one').weight_mask
        SoftMask(3x4, init=0.0, ticket=False)
    """
