# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The relative position bias of the tokens that are kept."""

from torch import Tensor


def gather_position_bias(table: Tensor, index: Tensor) -> Tensor:
    """Look the bias of each pair of tokens up in a table.

    Args:
        table (Tensor): One row per relative position, :math:`(L, H)`.
        index (Tensor): int64 rows, :math:`(N, N)` for all tokens of every
            image, or :math:`(B, n, n)` for the kept tokens of each.

    Returns:
        Tensor: :math:`(1, H, N, N)` or :math:`(B, H, n, n)`, query by key.

    Examples:
        >>> import torch
        >>> from mask_plugins.core.tokens import relative_position_index
        >>> index = relative_position_index((2, 2))  # 4 patches and cls
        >>> gather_position_bias(torch.zeros(12, 3), index).shape
        torch.Size([1, 3, 5, 5])
    """
    if index.dim() == 2:
        index = index[None]
    batch, n, _ = index.shape
    # From the transposed table each head is written as one contiguous block:
    # the attention kernels read it so.
    bias = table.t().index_select(1, index.reshape(-1))  # H, B n n
    return bias.view(table.shape[1], batch, n, n).transpose(0, 1)
