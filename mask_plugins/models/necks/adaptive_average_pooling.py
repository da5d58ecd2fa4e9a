# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Pooling to a grid of k x k instead of to one number per channel."""

from typing import Tuple, Union

from torch import Tensor, nn

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_int, check_type


@MODELS.register_module()
class AdaptiveAveragePooling(nn.AdaptiveAvgPool2d):
    """Averages feature maps to k x k and flattens them, channels first.

    :math:`(B, C, H, W)` becomes :math:`(B, C k^2)`. With ``output_size=1`` it
    is mmpretrain's ``GlobalAveragePooling``, bit for bit. A head behind it
    has ``in_channels`` of C k^2.

    Args:
        output_size (int): k. Where it does not divide the height or width,
            the areas overlap, as in ``torch.nn.AdaptiveAvgPool2d``. Defaults
            to 1.

    Raises:
        TypeError, ValueError: If ``output_size`` is not a positive int.

    Examples:
        >>> import torch
        >>> AdaptiveAveragePooling(2)(torch.ones(1, 3, 8, 8)).shape
        torch.Size([1, 12])
    """

    def __init__(self, output_size: int = 1) -> None:
        super().__init__(check_int('output_size', output_size, 1))

    def forward(
        self, inputs: Union[Tensor, Tuple[Tensor, ...]]
    ) -> Union[Tensor, Tuple[Tensor, ...]]:
        """Pool a tensor, or each of a tuple of them.

        Raises:
            TypeError: If it is neither.
        """
        if isinstance(inputs, tuple):
            return tuple(self(x) for x in inputs)
        what = 'a tensor or a tuple of tensors'
        check_type('inputs', inputs, Tensor, what)
        return super().forward(inputs).flatten(1)
