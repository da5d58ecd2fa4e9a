# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One linear layer from features to embeddings of length 1."""

from typing import Any, Dict, Optional

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mask_plugins.functional.feature_vectors import features_of
from mask_plugins.models.layers.masked_linear import masked_linear
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_bool, check_int


@MODELS.register_module()
class ProjectionNeck(BaseModule):
    """Project features for a contrastive or clustering loss.

    Takes feature maps, which are averaged over space, and vectors; the
    stock ``SwAVNeck`` takes maps only. Of several resolutions it takes the
    list of outputs and returns them as one batch.

    Args:
        in_channels (int): Channels of the features.
        out_channels (int): Channels of the embeddings. Defaults to 128.
        mask (dict, optional): Config of a weight mask: the weight stays as it
            is drawn, has no bias, and its mask is learned. Defaults to None.
        with_l2norm (bool): Whether embeddings have length 1. Defaults to
            True.

    Raises:
        TypeError, ValueError: If a number is below 1, or ``with_l2norm`` is
            not a bool.

    Examples:
        >>> neck = ProjectionNeck(8, 4)
        >>> large, small = torch.ones(2, 8, 7, 7), torch.ones(6, 8, 3, 3)
        >>> neck([(large,), (small,)]).shape
        torch.Size([8, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 128,
        mask: Optional[Dict[str, Any]] = None,
        with_l2norm: bool = True,
    ) -> None:
        super().__init__()
        size = (
            check_int('in_channels', in_channels, 1),
            check_int('out_channels', out_channels, 1),
        )
        self.with_l2norm = check_bool('with_l2norm', with_l2norm)
        self.fc = nn.Linear(*size) if mask is None else masked_linear(
            *size, mask
        )  # fmt: skip

    def forward(self, inputs: Any) -> Tensor:
        """Project features.

        Args:
            inputs (Tensor | tuple | list): What a backbone returns, a tuple;
                or a list of such, one for each resolution.
        """
        groups = inputs if isinstance(inputs, list) else [inputs]
        z = self.fc(torch.cat([features_of(group) for group in groups]))
        return F.normalize(z) if self.with_l2norm else z
