# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Layers with a soft mask, with all arguments of their torch parents."""

from torch import nn

from .masked_module import composed_class, place_mask
from .soft_mask import SoftMask


# The torch parent stands as a direct base too: mmengine's initializers
# match layers by the names of those.
class SoftMaskConv2d(composed_class(nn.Conv2d, ('weight',), False), nn.Conv2d):
    """``torch.nn.Conv2d`` whose weight has a :class:`SoftMask`.

    The bias is not masked.

    Args:
        *args: See ``torch.nn.Conv2d``.
        mask_init (float): Initial value of the logits. Defaults to 0.
        ticket_scale (str): See :class:`SoftMask`. Defaults to ``'keep'``.
        **kwargs: See ``torch.nn.Conv2d``.
    """

    def __init__(
        self,
        *args,
        mask_init: float = 0.0,
        ticket_scale: str = 'keep',
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        mask = SoftMask(self._parameters['weight'], mask_init, ticket_scale)
        place_mask(self, ('weight',), mask)


class SoftMaskLinear(composed_class(nn.Linear, ('weight',), False), nn.Linear):
    """``torch.nn.Linear`` whose weight has a :class:`SoftMask`.

    The bias is not masked. Without a normalization after it, the constant
    ``1 / sigmoid(mask_init)`` of a ticket doubles what is kept:
    ``ticket_scale='one'`` leaves it out.

    Args:
        *args: See ``torch.nn.Linear``.
        mask_init (float): Initial value of the logits. Defaults to 0.
        ticket_scale (str): See :class:`SoftMask`. Defaults to ``'keep'``.
        **kwargs: See ``torch.nn.Linear``.
    """

    def __init__(
        self,
        *args,
        mask_init: float = 0.0,
        ticket_scale: str = 'keep',
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        mask = SoftMask(self._parameters['weight'], mask_init, ticket_scale)
        place_mask(self, ('weight',), mask)
