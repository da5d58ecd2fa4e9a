# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The embedding that a head or an embedder gets."""

from typing import Sequence, Union

from torch import Tensor

Feats = Union[Tensor, Sequence[Tensor]]


def last_embedding(feats: Feats) -> Tensor:
    """The features of the last stage, one vector per image.

    Args:
        feats (Tensor | Sequence[Tensor]): Those of a neck, :math:`(B, D)`.

    Raises:
        ValueError: If they are not (B, D).

    Examples:
        >>> import torch
        >>> last_embedding((torch.zeros(2, 8), torch.zeros(2, 4))).shape
        torch.Size([2, 4])
    """
    x = feats[-1] if isinstance(feats, (tuple, list)) else feats
    if x.ndim != 2:
        raise ValueError(
            'an embedding must be one vector per image, (B, D), got '
            f'{tuple(x.shape)}: add a neck such as mask_plugins.MaxAvgPooling'
        )
    return x
