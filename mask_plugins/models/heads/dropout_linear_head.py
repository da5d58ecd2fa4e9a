# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A linear classifier on features with dropout."""

from typing import Tuple

from mmpretrain.models.heads import LinearClsHead
from torch import Tensor, nn

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_ratio

from .labels import ChecksLabels


@MODELS.register_module()
class DropoutLinearClsHead(ChecksLabels, LinearClsHead):
    """mmpretrain's ``LinearClsHead`` with dropout before its layer.

    mmpretrain's ``StackedLinearClsHead`` has dropout after hidden layers
    only, of which it needs one at least. With ``dropout=0`` this is
    ``LinearClsHead``, bit for bit; the names of its weights are the same.

    Args:
        *args: As of ``LinearClsHead``.
        dropout (float): Share of the features that is dropped in training,
            in [0, 1). Defaults to 0.5.
        **kwargs: As of ``LinearClsHead``.

    Raises:
        TypeError, ValueError: If ``dropout`` is not a number in [0, 1).

    Examples:
        >>> head = DropoutLinearClsHead(10, 16, dropout=0.25)
        >>> head.dropout
        Dropout(p=0.25, inplace=False)
    """

    def __init__(self, *args, dropout: float = 0.5, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.dropout = nn.Dropout(check_ratio('dropout', dropout, '[)'))

    def pre_logits(self, feats: Tuple[Tensor, ...]) -> Tensor:
        """The features of the last stage, (B, D), some of them dropped."""
        return self.dropout(super().pre_logits(feats))
