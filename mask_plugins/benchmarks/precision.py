# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Number formats that steps can run in."""

import contextlib
from typing import ContextManager

import torch

DTYPES = dict(fp32=None, bf16=torch.bfloat16, fp16=torch.float16)


def autocast(device: str, dtype: str) -> ContextManager:
    """Autocast to one of :data:`DTYPES`; nothing for ``'fp32'``.

    Examples:
        >>> with autocast('cpu', 'bf16'):
        ...     torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype
        torch.bfloat16
    """
    if DTYPES[dtype] is None:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, DTYPES[dtype])
