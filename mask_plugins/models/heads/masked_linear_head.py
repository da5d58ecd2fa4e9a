# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A linear head that is trained by its mask."""

from typing import Optional, Sequence, Tuple

import torch
from mmpretrain.models.heads import LinearClsHead
from torch import Tensor, nn

from mask_plugins.models.layers.masked_linear import masked_linear
from mask_plugins.registry import MODELS

from .labels import ChecksLabels


@MODELS.register_module()
class MaskedLinearClsHead(ChecksLabels, LinearClsHead):
    """A linear head without bias over a frozen random weight, masked.

    The head of supervised masking (Self-Masking Networks, GCPR 2024): the
    weight is drawn once and frozen, its scores are trained, and the output is
    scaled by sqrt(N / n) of the mask.

    Args:
        num_classes (int): Number of classes.
        in_channels (int): Channels of the feature.
        hidden_channels (Sequence[int]): Widths of masked layers before the
            last, with ReLU between them: the original's ``mlp_masked``.
            Defaults to ().
        mask (dict, optional): Config of the mask. Defaults to None,
            ``mask_plugins.ScoreMask`` with scores of 1 and a threshold of 0.
        seed (int, optional): The frozen weights are a function of shapes and
            seed, so that an adapter fits every model of the same config. None
            draws them from the global generator, as the original does.
            Defaults to 0.
        init_cfg (dict, optional): Defaults to None: weights stay as drawn.
        **kwargs: Other arguments of ``LinearClsHead``, such as ``loss``.

    Examples:
        >>> head = MaskedLinearClsHead(3, 4, hidden_channels=[8])
        >>> head((torch.ones(2, 4),)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        hidden_channels: Sequence[int] = (),
        mask: Optional[dict] = None,
        seed: Optional[int] = 0,
        init_cfg: Optional[dict] = None,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, in_channels, init_cfg, **kwargs)
        widths = [in_channels, *hidden_channels, num_classes]
        layers = [
            masked_linear(
                a, b, mask, None if seed is None else seed + number
            )
            for number, (a, b) in enumerate(zip(widths, widths[1:]))
        ]  # fmt: skip
        self.hidden = nn.ModuleList(layers[:-1])
        self.fc = layers[-1]

    def pre_logits(self, feats: Tuple[Tensor]) -> Tensor:
        """The input of the last layer, (B, C)."""
        x = super().pre_logits(feats)
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return x
