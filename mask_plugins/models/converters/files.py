# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Read foreign weight files without running what is in them."""

import argparse
import os
import pickle
import zipfile
from collections import OrderedDict
from typing import Any, Dict, Optional

import torch
from torch import Tensor

# SimMIM saves its yacs configuration beside the weights. This stands in for
# the class of it: yacs need not be installed, nor its code trusted.
_CfgNode = type(
    'CfgNode',
    (),
    {
        '__module__': 'yacs.config',
        '__new__': lambda cls, *args: OrderedDict(),
    },
)


def read_weights(path: str, key: str = 'model') -> Dict[str, Tensor]:
    """Read a state dict from a ``.pth`` or ``.safetensors`` file.

    Args:
        path (str): The file, read as by :func:`read_checkpoint`.
        key (str): Entry that holds the weights, in a file that has several;
            a file that is a bare state dict is taken as it is.
            Defaults to ``'model'``.

    Returns:
        dict[str, Tensor]: The weights, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file does not hold weights.
    """
    return take_weights(read_checkpoint(path), key, path)


def read_checkpoint(path: str) -> Any:
    """Read all that is in a ``.pth`` or ``.safetensors`` file.

    Nothing is unpickled but tensors, plain Python data, and the settings
    that SimMIM (a yacs node) and DeiT (an ``argparse.Namespace``) keep. Of a
    TorchScript archive, which OpenAI's CLIP is, the weights are read.

    Args:
        path (str): The file.

    Returns:
        Any: Usually a dict, tensors on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, or holds other objects.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'there is no checkpoint at {path!r}')
    if path.endswith('.safetensors'):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(
                f'{path!r} is truncated or no safetensors file: {error}'
            ) from error
    return _read_pickle(path)


def take_weights(loaded: Any, key: str, path: str) -> Dict[str, Tensor]:
    """Take a state dict out of what :func:`read_checkpoint` returned.

    Args:
        loaded (Any): What was read.
        key (str): Entry that holds the weights; a bare state dict is taken
            as it is.
        path (str): The file, for the error message.

    Raises:
        ValueError: If there are no weights.
    """
    if isinstance(loaded, dict) and key in loaded:
        loaded = loaded[key]
    weights = isinstance(loaded, dict) and all(
        isinstance(value, Tensor) for value in loaded.values()
    )
    if not weights or not loaded:
        keys = list(loaded)[:10] if isinstance(loaded, dict) else None
        raise ValueError(
            f'{path!r} has no weights under {key!r}: it holds '
            f'{type(loaded).__name__} with keys {keys}'
        )
    return dict(loaded)


def _read_pickle(path: str) -> object:
    allowed = [_CfgNode, argparse.Namespace, set]
    try:
        if _is_torch_script(path):
            return dict(torch.jit.load(path, 'cpu').state_dict())
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()
        unsafe = [line for line in reason if 'Unsupported' in line]
        raise ValueError(
            f'{path!r} cannot be read with weights_only=True: it is no '
            'PyTorch file, or it holds other objects than tensors and '
            'settings. If you trust it, save its weights alone first. '
            f'({(unsafe or reason)[0].strip()})'
        ) from error
    except (RuntimeError, EOFError) as error:  # of the zip reader
        raise ValueError(
            f'{path!r} is truncated or no PyTorch file: '
            f'{(str(error) or repr(error)).splitlines()[0]}'
        ) from error


def _is_torch_script(path: str) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(n.endswith('/constants.pkl') for n in archive.namelist())


def write_checkpoint(
    path: str, state_dict: Dict[str, Tensor], meta: Optional[dict] = None
) -> None:
    """Write weights; the file appears whole or not at all.

    Args:
        path (str): ``.pth`` is what mmengine reads, in
            ``init_cfg=dict(type='Pretrained')`` and ``load_from``.
            ``.safetensors`` it does not read: that is for other libraries,
            :func:`read_weights` and the tools in ``tools/analysis``, and
            holds no ``meta``.
        state_dict (dict[str, Tensor]): The weights.
        meta (dict, optional): Plain data kept beside them.
            Defaults to None.
    """
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    state_dict = {k: v.contiguous().clone() for k, v in state_dict.items()}
    part = f'{path}.part'
    try:
        if path.endswith('.safetensors'):
            from safetensors.torch import save_file

            save_file(state_dict, part)
        else:
            torch.save(dict(meta=meta or {}, state_dict=state_dict), part)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)
