# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Bits of masks and hashes of weights, as adapter files have them."""

import hashlib
import json
import math
from typing import Any, Dict, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from mask_plugins.utils.checks import check_choice

STATE_DTYPES = ('float32', 'float16', 'bfloat16')


def pack_bits(on: Tensor) -> Tensor:
    """Pack a bool tensor as ``numpy.packbits`` does.

    Args:
        on (Tensor): bool, of any shape; read in C order, the first element in
            the highest bit of the first byte.

    Returns:
        Tensor: uint8, ceil(n / 8); the last byte is filled up with zeros.

    Examples:
        >>> pack_bits(torch.tensor([True, False, True]))
        tensor([160], dtype=torch.uint8)
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

    Examples:
        >>> unpack_bits(torch.tensor([160], dtype=torch.uint8), (3,))
        tensor([ True, False,  True])
    """
    size = check_packed(packed, shape)
    bits = np.unpackbits(packed.cpu().numpy(), count=size)
    return torch.from_numpy(bits.view(bool)).view(shape)


def check_packed(packed: Tensor, shape: Tuple[int, ...]) -> int:
    """Number of bits, if the tensor holds those of the shape."""
    size = math.prod(shape)
    if packed.dtype != torch.uint8 or packed.shape != (-(-size // 8),):
        raise ValueError(
            f'{packed.numel()} bytes of {packed.dtype} do not hold a mask of '
            f'shape {tuple(shape)}, which takes {-(-size // 8)} of uint8'
        )
    return size


def base_hash(base: Dict[str, Tensor], without: Dict[str, Any]) -> str:
    """SHA-256 of the weights that an adapter does not hold.

    Args:
        base (dict[str, Tensor]): What :func:`base_state` returned.
        without (dict): Keys that the adapter holds itself.

    Returns:
        str: Hexadecimal. Names, shapes and values count, devices do not.
    """
    return _hash({k: v for k, v in base.items() if k not in without})


def content_hash(tensors: Dict[str, Tensor], metadata: Dict[str, str]) -> str:
    """SHA-256 of all that an adapter file says.

    Args:
        tensors (dict[str, Tensor]): All tensors of the file.
        metadata (dict[str, str]): Its own ``sha256`` does not count.
    """
    said = {k: v for k, v in metadata.items() if k != 'sha256'}
    return _hash(tensors, json.dumps(said, sort_keys=True))


def tensor_hash(tensor: Tensor) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of one tensor.

    Args:
        tensor (Tensor): Dtype, shape and values count.
    """
    return _hash({'': tensor})[:16]


def copy_state(
    state: Dict[str, Tensor], dtype: Optional[str] = None
) -> Dict[str, Tensor]:
    """Copies on the CPU, floating ones in another dtype if one is given.

    Args:
        state (dict[str, Tensor]): Key of the state dict -> value.
        dtype (str, optional): One of :data:`STATE_DTYPES`. Defaults to None:
            as they are.

    Raises:
        ValueError: If the dtype is unknown, or has no such large numbers.

    Examples:
        >>> copy_state(dict(mean=torch.ones(1)), 'float16')['mean'].dtype
        torch.float16
    """
    if dtype is not None:
        check_choice('state_dtype', dtype, STATE_DTYPES)
    copies = {}
    for key, value in state.items():
        copies[key] = value.detach().cpu().clone()
        if dtype is None or not value.is_floating_point():
            continue
        copies[key] = copies[key].to(getattr(torch, dtype))
        if bool((copies[key].isinf() & value.cpu().isfinite()).any()):
            largest = float(value.detach().abs().max())
            raise ValueError(
                f'state_dtype={dtype!r} ends at '
                f'{torch.finfo(copies[key].dtype).max:g}, but {key} has '
                f"{largest:g}: take 'bfloat16' or 'float32'"
            )
    return copies


def dtype_name(tensor: Tensor) -> str:
    """The name of a dtype, such as ``'float32'``."""
    return str(tensor.dtype).rpartition('.')[2]


def _hash(tensors: Dict[str, Tensor], text: str = '') -> str:
    digest = hashlib.sha256(text.encode())
    for key in sorted(tensors):
        tensor = tensors[key].detach().cpu().contiguous()
        said = f'{key} {tensor.dtype} {tuple(tensor.shape)};'
        digest.update(said.encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
