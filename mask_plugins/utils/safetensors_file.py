# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tensors and metadata, to and from safetensors files."""

import os
from typing import TYPE_CHECKING, Dict, Optional, Tuple

from .checks import PathLike
from .files import replace_atomically
from .openmmlab import imports_for

if TYPE_CHECKING:
    from torch import Tensor


def write_safetensors(
    path: PathLike,
    tensors: Dict[str, 'Tensor'],
    metadata: Optional[Dict[str, str]] = None,
) -> None:
    """Write tensors; the file appears whole or not at all.

    Args:
        path (str | PathLike): The file; its folder is created if missing.
        tensors (dict[str, Tensor]): No two may share memory.
        metadata (dict[str, str], optional): Defaults to None.

    Examples:
        >>> import tempfile, torch
        >>> from mask_plugins.utils.safe_load import read_checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f'{folder}/a.safetensors'
        ...     write_safetensors(path, dict(a=torch.ones(1)))
        ...     read_checkpoint(path)
        {'a': tensor([1.])}
    """
    from safetensors.torch import save_file

    tensors = {key: value.contiguous() for key, value in tensors.items()}
    with replace_atomically(path) as part:
        save_file(tensors, part, metadata)


def read_safetensors(
    path: PathLike,
) -> Tuple[Dict[str, 'Tensor'], Dict[str, str]]:
    """Read tensors, on the CPU, and metadata.

    Args:
        path (str | PathLike): A file that exists.

    Raises:
        ModuleNotFoundError: If safetensors is not installed.
        ValueError: If it is truncated or of another format; it names the
            file.

    Examples:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f'{folder}/a.safetensors'
        ...     write_safetensors(path, dict(a=torch.ones(1)), dict(b='c'))
        ...     read_safetensors(path)
        ({'a': tensor([1.])}, {'b': 'c'})
    """
    with imports_for('reading safetensors'):
        from safetensors import safe_open

    path = os.fspath(path)
    try:
        with safe_open(path, framework='pt') as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
            return tensors, dict(file.metadata() or {})
    except Exception as error:
        raise ValueError(
            f'{path!r} is truncated or not a safetensors file: {error}'
        ) from error
