# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Which relative position lies between two tokens."""

from typing import Tuple

import torch
from torch import Tensor

from mask_plugins.utils.checked import checked


@checked
def relative_position_index(size: Tuple[int, int]) -> Tensor:
    """Row of the bias table for each pair of tokens, in BEiT's layout.

    With L = (2h-1)(2w-1) + 3 rows, two patches that lie (dy, dx) apart,
    query minus key, use row (dy+h-1)(2w-1) + (dx+w-1); cls to patch uses
    L-3, patch to cls L-2 and cls to cls L-1 (Bao et al., arXiv:2106.08254).

    Args:
        size (tuple[int, int]): The grid of patches (h, w).

    Returns:
        Tensor: int64, :math:`(N, N)` with N = h w + 1, query by key.

    Examples:
        >>> relative_position_index((1, 2))
        tensor([[5, 3, 3],
                [4, 1, 0],
                [4, 2, 1]])
    """
    h, w = size
    length = (2 * h - 1) * (2 * w - 1) + 3
    y, x = torch.arange(h), torch.arange(w)
    dy = y[:, None] - y[None, :] + h - 1  # h, h
    dx = x[:, None] - x[None, :] + w - 1  # w, w
    rows = dy[:, None, :, None] * (2 * w - 1) + dx[None, :, None, :]
    index = torch.empty(h * w + 1, h * w + 1, dtype=torch.int64)
    index[1:, 1:] = rows.reshape(h * w, h * w)
    index[0, :] = length - 3
    index[:, 0] = length - 2
    index[0, 0] = length - 1
    return index


def select_index_pairs(index: Tensor, kept: Tensor) -> Tensor:
    """The index matrix of the kept tokens, built once per forward.

    Args:
        index (Tensor): int64, :math:`(N, N)`.
        kept (Tensor): Kept tokens of each image, int64, :math:`(B, n)`.

    Returns:
        Tensor: :math:`(B, n, n)`, entry [b, p, k] is
        ``index[kept[b, p], kept[b, k]]``.

    Examples:
        >>> index = relative_position_index((1, 2))
        >>> select_index_pairs(index, torch.tensor([[0, 2]]))
        tensor([[[5, 3],
                 [4, 1]]])
    """
    return index[kept[:, :, None], kept[:, None, :]]
