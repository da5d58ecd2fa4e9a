# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Which base weights masks belong to."""

import hashlib
from typing import Any, Dict, Tuple

import torch
from torch import Tensor, nn

from .weight_mask import WeightMask


def mask_keys(model: nn.Module) -> Tuple[str, ...]:
    """State-dict keys that belong to masks."""
    return tuple(
        f'{path}.{key}'
        for path, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, WeightMask)
        for key in module.state_dict()
    )


def base_hash(model: nn.Module, without: Dict[str, Any]) -> str:
    """SHA-256 of the weights that an adapter does not hold.

    Args:
        model (nn.Module): Masked or not; the base weights count.
        without (dict): Keys that the adapter holds itself.

    Returns:
        str: Hexadecimal. Names, shapes and values count, devices do not.
    """
    digest = hashlib.sha256()
    inside = set(mask_keys(model))
    state = model.state_dict()
    for key in sorted(set(state) - inside - set(without)):
        if isinstance(state[key], Tensor):
            digest.update(key.encode())
            _add(digest, state[key])
    return digest.hexdigest()


def tensor_hash(tensor: Tensor) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of one tensor.

    Args:
        tensor (Tensor): Dtype, shape and values count.
    """
    digest = hashlib.sha256()
    _add(digest, tensor)
    return digest.hexdigest()[:16]


def _add(digest, tensor: Tensor) -> None:
    tensor = tensor.detach().cpu().contiguous()
    digest.update(f' {tensor.dtype} {tuple(tensor.shape)};'.encode())
    digest.update(tensor.view(-1).view(torch.uint8).numpy().data)
