# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Maximum and average of a feature map, side by side."""

from typing import Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_bool


@MODELS.register_module()
class MaxAvgPooling(BaseModule):
    """Global max pooling, then global average pooling, concatenated.

    The pooling of HGSL and SCDA (Wei et al., arXiv:1604.04994).

    Args:
        l2 (bool): Whether to normalize the result to unit length. Defaults to
            False.
        scda (bool): Whether to pool, in evaluation only, over the positions
            whose sum over the channels is above the mean of the map, as a
            guess of where the object is. (SCDA itself keeps the largest
            connected part of them.) Defaults to False.

    Raises:
        TypeError: If ``l2`` or ``scda`` is not a bool.
        ValueError: While running, if an input is not a feature map.

    Examples:
        >>> MaxAvgPooling()(torch.arange(4.0).view(1, 1, 2, 2)).tolist()
        [[3.0, 1.5]]
    """

    def __init__(self, l2: bool = False, scda: bool = False) -> None:
        super().__init__()
        self.l2 = check_bool('l2', l2)
        self.scda = check_bool('scda', scda)

    def forward(
        self, inputs: Union[Tensor, Sequence[Tensor]]
    ) -> Union[Tensor, Tuple[Tensor, ...]]:
        """(B, C, H, W) -> (B, 2 C), of each stage."""
        if isinstance(inputs, (tuple, list)):
            return tuple(self(x) for x in inputs)
        x = inputs
        if x.ndim != 4:
            raise ValueError(
                'MaxAvgPooling needs feature maps (B, C, H, W), got '
                f'{tuple(x.shape)}: set out_type="featmap" in a ViT'
            )
        x = x.flatten(2)  # BxCxP
        if self.scda and not self.training:
            total = x.sum(dim=1, keepdim=True)  # Bx1xP
            kept = total >= total.mean(dim=2, keepdim=True)
            highest = x.masked_fill(~kept, -torch.inf).amax(dim=2)
            average = (x * kept).sum(dim=2) / kept.sum(dim=2).clamp_min(1)
        else:
            highest, average = x.amax(dim=2), x.mean(dim=2)
        pooled = torch.cat((highest, average), dim=1)
        return F.normalize(pooled) if self.l2 else pooled
