# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the pickle of a checkpoint says of the data of its tensors."""

import re
from typing import Optional, Tuple

import torch

from .inert_pickle import Call

_STORAGES = dict(
    Double=torch.float64, Float=torch.float32, Half=torch.float16,
    BFloat16=torch.bfloat16, Long=torch.int64, Int=torch.int32,
    Short=torch.int16, Char=torch.int8, Byte=torch.uint8, Bool=torch.bool,
    ComplexDouble=torch.complex128, ComplexFloat=torch.complex64,
    Untyped=torch.uint8,
)  # fmt: skip
_STORAGE = re.compile(r'torch\.(?:cuda\.|storage\.)?(\w+)Storage')


def describe_storage(call: Call) -> Tuple[torch.dtype, str, int]:
    """Dtype, key and bytes of what a tensor lies in.

    Raises:
        ValueError: If the record is another.
    """
    if type(call) is not Call or call.name != 'storage':
        raise ValueError('a tensor in it has no data')
    word, kind, key, _, count, *view = call.args
    dtype = storage_dtype(kind.name)
    if word != 'storage' or type(key) is not str or dtype is None:
        raise ValueError('the data of a tensor in it is not named')
    if type(count) is not int or count < 0 or any(view):
        raise ValueError('the data of a tensor in it has no length')
    return dtype, key, count * torch.empty(0, dtype=dtype).element_size()


def storage_dtype(name: str) -> Optional[torch.dtype]:
    """The dtype of a class of storages, such as ``torch.FloatStorage``."""
    found = _STORAGE.fullmatch(name)
    return _STORAGES.get(found[1]) if found else None


def torch_dtype(name: str) -> Optional[torch.dtype]:
    """The dtype of that name, such as ``torch.float32``."""
    module, _, name = name.rpartition('.')
    # Not by `getattr`, which imports some of its modules.
    found = vars(torch).get(name) if module == 'torch' else None
    return found if isinstance(found, torch.dtype) else None
