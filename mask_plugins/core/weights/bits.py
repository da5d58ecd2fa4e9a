# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One bit per weight."""

from typing import Tuple

import numpy as np
import torch
from torch import Tensor


def pack_bits(on: Tensor) -> Tensor:
    """Pack a bool tensor as ``numpy.packbits`` does.

    Args:
        on (Tensor): bool, of any shape; read in C order, the first element in
            the highest bit of the first byte.

    Returns:
        Tensor: uint8, ceil(n / 8); the last byte is filled up with zeros.
    """
    flat = on.detach().cpu().contiguous().view(-1).numpy()
    return torch.from_numpy(np.packbits(flat))


def unpack_bits(packed: Tensor, shape: Tuple[int, ...]) -> Tensor:
    """Undo :func:`pack_bits`.

    Args:
        packed (Tensor): uint8, ceil(n / 8).
        shape (tuple[int]): Of the result.

    Returns:
        Tensor: bool.

    Raises:
        ValueError: If there are more or fewer bytes than the shape needs.
    """
    size = int(np.prod(shape, dtype=np.int64))
    if packed.dtype != torch.uint8 or packed.numel() != -(-size // 8):
        raise ValueError(
            f'{packed.numel()} bytes of {packed.dtype} do not hold a mask of '
            f'shape {tuple(shape)}, which takes {-(-size // 8)} of uint8'
        )
    bits = np.unpackbits(packed.cpu().numpy(), count=size)
    return torch.from_numpy(bits.astype(bool)).view(shape)
