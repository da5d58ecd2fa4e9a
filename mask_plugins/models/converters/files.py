# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Weight files: a state dict out of one, and one out of a state dict."""

import os
from collections import OrderedDict
from typing import Any, Dict, Optional

import torch
from torch import Tensor

from mask_plugins.utils.checks import PathLike
from mask_plugins.utils.files import replace_atomically
from mask_plugins.utils.safe_load import read_checkpoint
from mask_plugins.utils.safetensors_file import write_safetensors


def read_weights(path: PathLike, key: str = 'model') -> Dict[str, Tensor]:
    """Read a state dict from a file of any format.

    Args:
        path (str | PathLike): The file, see
            :func:`mask_plugins.utils.safe_load.read_checkpoint`.
        key (str): Entry that holds the weights, in a file that has several;
            a file that is a bare state dict is taken as it is.
            Defaults to ``'model'``.

    Returns:
        dict[str, Tensor]: The weights, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read or does not hold weights.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(dict(model=dict(a=torch.ones(1))), f'{folder}/x')
        ...     dict(read_weights(f'{folder}/x'))
        {'a': tensor([1.])}
    """
    return take_weights(read_checkpoint(path), key, path)


def take_weights(loaded: Any, key: str, path: PathLike) -> Dict[str, Tensor]:
    """Take a state dict out of what ``read_checkpoint`` returned.

    Args:
        loaded (Any): What was read.
        key (str): Entry that holds the weights; a bare state dict is taken
            as it is.
        path (str | PathLike): The file, for the error message.

    Returns:
        dict[str, Tensor]: A copy, with the ``_metadata`` of a state dict.

    Raises:
        ValueError: If there are no weights.

    Examples:
        >>> take_weights(dict(epoch=3), 'state_dict', 'a.pth')
        Traceback (most recent call last):
        ...
        ValueError: 'a.pth' has no weights under 'state_dict': it holds dict \
with keys ['epoch']
    """
    if isinstance(loaded, dict) and key in loaded:
        loaded = loaded[key]
    keys = list(loaded)[:10] if isinstance(loaded, dict) else []
    if not keys or not all(
        isinstance(name, str) and isinstance(value, Tensor)
        for name, value in loaded.items()
    ):
        raise ValueError(
            f'{os.fspath(path)!r} has no weights under {key!r}: it holds '
            f'{type(loaded).__name__} with keys {keys}'
        )
    weights = OrderedDict(loaded)
    if hasattr(loaded, '_metadata'):
        weights._metadata = loaded._metadata
    return weights


def write_checkpoint(
    path: PathLike, state_dict: Dict[str, Tensor], meta: Optional[dict] = None
) -> None:
    """Write weights; the file appears whole or not at all.

    Args:
        path (str | PathLike): ``.pth`` is what mmengine reads, in
            ``init_cfg=dict(type='Pretrained')`` and ``load_from``.
            ``.safetensors`` it does not read: that is for other libraries,
            :func:`read_weights` and the tools in ``tools/analysis``, and
            holds no ``meta``.
        state_dict (dict[str, Tensor]): The weights.
        meta (dict, optional): Plain data kept next to them.
            Defaults to None.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_checkpoint(f'{folder}/x.pth', dict(a=torch.ones(1)))
        ...     read_weights(f'{folder}/x.pth', 'state_dict')['a']
        tensor([1.])
    """
    state_dict = {k: v.contiguous().clone() for k, v in state_dict.items()}
    if os.fspath(path).endswith('.safetensors'):
        return write_safetensors(path, state_dict)
    with replace_atomically(path) as part:
        torch.save(dict(meta=meta or {}, state_dict=state_dict), part)
