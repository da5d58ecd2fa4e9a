# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""SwAV that computes masked weights once for all crops."""

from typing import Any, Dict, List

from mmpretrain.models.selfsup import SwAV as StockSwAV
from torch import Tensor

from mask_plugins.core.weights import hold_masks
from mask_plugins.registry import MODELS


@MODELS.register_module()
class SwAV(StockSwAV):
    """The stock SwAV, with each masked weight computed once per step.

    The backbone runs once for each resolution of the crops; without masks it
    is the stock model.

    Examples:
        >>> backbone = dict(type='ResNet', depth=18)
        >>> model = SwAV(
        ...     dict(type='mask_plugins.MaskedModel', module=backbone,
        ...          mask=dict(type='mask_plugins.ScoreMask')),
        ...     neck=dict(type='mask_plugins.ProjectionNeck',
        ...               in_channels=512),
        ...     head=dict(type='mask_plugins.SwAVHead', num_prototypes=50,
        ...               num_crops=[2, 1]))
        >>> import torch
        >>> crops = [torch.rand(2, 3, size, size) for size in (32, 32, 16)]
        >>> sorted(model.loss(crops, []))
        ['loss']
    """

    def loss(
        self, inputs: List[Tensor], data_samples: List[Any], **kwargs
    ) -> Dict[str, Tensor]:
        """The loss of a batch of crops, see the stock class."""
        with hold_masks(self.backbone):
            return super().loss(inputs, data_samples, **kwargs)
