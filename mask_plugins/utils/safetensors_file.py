# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tensors out, as safetensors. Files appear whole or not at all."""

from typing import TYPE_CHECKING, Dict, Optional

from .checks import PathLike
from .files import replace_atomically

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
