# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Take the kept tokens out of a sequence, and put them back."""

from typing import Union

import torch
from torch import Tensor

from mask_plugins.utils.checks import check_number, check_size


def gather_tokens(x: Tensor, index: Tensor) -> Tensor:
    """The tokens at ``index``; the gradient reaches those only.

    Args:
        x (Tensor): Tokens, :math:`(B, N, C)`.
        index (Tensor): int64 indices, :math:`(B, n)`.

    Returns:
        Tensor: :math:`(B, n, C)`.

    Raises:
        TypeError, ValueError: If ``index`` is no int64 of one row per image.

    Examples:
        >>> import torch
        >>> x = torch.arange(3.0).view(1, 3, 1)
        >>> gather_tokens(x, torch.tensor([[0, 2]])).flatten().tolist()
        [0.0, 2.0]
    """
    _check_index(x, index)
    return x.gather(1, index.unsqueeze(-1).expand(-1, -1, x.size(-1)))


def scatter_tokens(
    x: Tensor,
    index: Tensor,
    num_tokens: int,
    fill: Union[float, Tensor] = 0.0,
) -> Tensor:
    """Put kept tokens back at their places; dropped ones become ``fill``.

    Args:
        x (Tensor): Kept tokens, :math:`(B, n, C)`.
        index (Tensor): Their places, int64, :math:`(B, n)`.
        num_tokens (int): N, the length to restore.
        fill (float | Tensor): Value at dropped places, or the tokens,
            :math:`(B, N, C)`, of which the dropped ones are taken.
            Defaults to 0.

    Returns:
        Tensor: :math:`(B, N, C)`.

    Raises:
        TypeError, ValueError: If ``index`` is no int64 of one place per token,
            ``num_tokens`` is less than they are, or ``fill`` does not fit.

    Examples:
        >>> import torch
        >>> kept = torch.tensor([[[5.0], [7.0]]])
        >>> index = torch.tensor([[0, 2]])
        >>> scatter_tokens(kept, index, num_tokens=3).flatten().tolist()
        [5.0, 0.0, 7.0]
        >>> whole = torch.tensor([[[1.0], [2.0], [3.0]]])
        >>> scatter_tokens(kept, index, 3, fill=whole).flatten().tolist()
        [5.0, 2.0, 7.0]
    """
    _check_index(x, index, 2)
    check_size('num_tokens', num_tokens, index.shape[1])
    batch, _, width = x.shape
    shape = (batch, num_tokens, width)
    if isinstance(fill, Tensor):
        if fill.shape != shape:
            raise ValueError(
                f'fill must be a number or tokens of shape {shape}, got '
                f'{tuple(fill.shape)}'
            )
        full = fill.to(x.dtype)
    else:
        full = x.new_full(shape, check_number('fill', fill))
    return full.scatter(1, index.unsqueeze(-1).expand(-1, -1, width), x)


def _check_index(x: Tensor, index: Tensor, alike: int = 1) -> None:
    """Raise unless the first dimensions of both are the same."""
    if index.dtype != torch.int64:
        raise TypeError(f'index must be int64, got {index.dtype}')
    if x.ndim != 3 or index.ndim != 2:
        raise ValueError(
            'x and index must have the shapes (B, N, C) and (B, n), got '
            f'{tuple(x.shape)} and {tuple(index.shape)}'
        )
    if torch.jit.is_tracing():  # sizes are no numbers then
        return
    if x.shape[:alike] != index.shape[:alike]:
        raise ValueError(
            f'index must have a row per image (and of kept tokens, a place '
            f'each), got {tuple(index.shape)} for tokens {tuple(x.shape)}'
        )
