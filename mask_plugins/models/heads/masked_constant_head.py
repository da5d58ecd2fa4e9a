# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A classifier whose weights are all one number."""

import math
from typing import Optional, Tuple

from mmpretrain.models.heads import LinearClsHead
from torch import Tensor

from mask_plugins.models.layers.masked_linear import masked_linear
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_choice

from .labels import ChecksLabels

SIGNS = ('positive', 'negative', 'dual')


@MODELS.register_module()
class MaskedConstantClsHead(ChecksLabels, LinearClsHead):
    r"""Weights of 1 / sqrt(in_channels), or minus that, behind a mask.

    A class score is a sum of some of the features: nothing but the mask has
    to be stored, not even a seed. ``'dual'`` is half the sum of a positive
    and a negative layer, so that features count for or against a class.

    Args:
        num_classes (int): Number of classes.
        in_channels (int): Channels of the feature.
        sign (str): ``'positive'``, ``'negative'`` or ``'dual'``. Defaults to
            ``'dual'``.
        mask (dict, optional): Config of the masks. Defaults to None,
            ``mask_plugins.ScoreMask`` with scores of 1.
        parity (bool): As the code of Self-Masking Networks, whose negative
            layer is positive too. Defaults to False.
        init_cfg (dict, optional): Defaults to None.
        **kwargs: Other arguments of ``LinearClsHead``, such as ``loss``.

    Raises:
        ValueError: If ``sign`` is none of these.

    Examples:
        >>> import torch
        >>> head = MaskedConstantClsHead(num_classes=3, in_channels=4)
        >>> head((torch.ones(2, 4),)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        sign: str = 'dual',
        mask: Optional[dict] = None,
        parity: bool = False,
        init_cfg: Optional[dict] = None,
        **kwargs,
    ) -> None:
        check_choice('sign', sign, SIGNS)
        super().__init__(num_classes, in_channels, init_cfg, **kwargs)
        del self.fc
        self.sign = sign
        value = 1 / math.sqrt(in_channels)
        values = dict(positive=value, negative=value if parity else -value)
        for name in values if sign == 'dual' else [sign]:
            layer = masked_linear(
                in_channels, num_classes, mask, constant=values[name]
            )
            self.add_module(name, layer)

    def forward(self, feats: Tuple[Tensor]) -> Tensor:
        """Class scores, (B, num_classes)."""
        x = self.pre_logits(feats)
        if self.sign == 'dual':
            return (self.positive(x) + self.negative(x)) / 2
        return getattr(self, self.sign)(x)
