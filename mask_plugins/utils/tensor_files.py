# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tensors and texts in a safetensors file of ours."""

import json
import os
from typing import Dict, NamedTuple, Optional

from torch import Tensor

from .checks import PathLike
from .safetensors_file import read_safetensors, write_safetensors

_ENTRY = 'mask_plugins'


class TensorFile(NamedTuple):
    """What such a file holds.

    Args:
        tensors (dict[str, Tensor]): On the CPU.
        texts (dict[str, str]): Next to them.

    Examples:
        >>> import torch
        >>> TensorFile(dict(x=torch.ones(1)), dict(kind='test')).texts['kind']
        'test'
    """

    tensors: Dict[str, Tensor]
    texts: Dict[str, str]


def write_tensors(
    path: PathLike,
    kind: str,
    tensors: Dict[str, Tensor],
    texts: Optional[Dict[str, str]] = None,
) -> None:
    """Write tensors; the file appears whole or not at all.

    Args:
        path (str | os.PathLike): The file.
        kind (str): What it is, which :func:`read_tensors` asks for.
        tensors (dict[str, Tensor]): What to write.
        texts (dict[str, str], optional): Written next to them.

    Examples:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, 'x.safetensors')
        ...     write_tensors(path, 'test', dict(x=torch.ones(2)))
        ...     read_tensors(path, 'test').tensors['x'].tolist()
        [1.0, 1.0]
    """
    # One entry: safetensors writes several in an order of its own.
    text = json.dumps(dict(texts or {}, kind=kind), sort_keys=True)
    tensors = {key: value.detach().cpu() for key, value in tensors.items()}
    write_safetensors(path, tensors, {_ENTRY: text})


def read_tensors(path: PathLike, kind: str) -> TensorFile:
    """Read what :func:`write_tensors` wrote.

    Args:
        path (str | os.PathLike): The file.
        kind (str): What it has to be.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or of another kind.

    Examples:
        >>> read_tensors('nowhere', 'test')
        Traceback (most recent call last):
        ...
        FileNotFoundError: no test file: 'nowhere'
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'no {kind} file: {path!r}')
    tensors, metadata = read_safetensors(path)
    try:
        texts = json.loads(metadata.get(_ENTRY, '{}'))
    except (ValueError, RecursionError):
        texts = None
    if not isinstance(texts, dict) or texts.pop('kind', None) != kind:
        raise ValueError(f'{path!r} is not a {kind} file of mask_plugins')
    return TensorFile(tensors, texts)
