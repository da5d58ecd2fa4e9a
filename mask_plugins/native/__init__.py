# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Compiled kernels for CPUs, where they are built; torch serves where not.

Plain C++ behind a C interface, loaded by ctypes, so that one build serves
every torch and Python. It is compiled once per instruction set; the widest
that the CPU has is loaded. ``MASK_PLUGINS_NATIVE=0`` switches it off.
"""

import ctypes
import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import Optional, Tuple

import torch

from mask_plugins.utils.compat_torch import is_compiling

__all__ = ['library', 'library_for', 'status']

#: Raised together with mask_plugins_interface() of src/library.cpp.
INTERFACE = 2
#: What maps may hold; arithmetic is float32 whatever they do.
DTYPES = (torch.float32, torch.bfloat16)
SWITCH = 'MASK_PLUGINS_NATIVE'
FOLDER = Path(__file__).parent


def library() -> Optional[ctypes.CDLL]:
    """The compiled kernels, or None where torch has to serve.

    Examples:
        >>> lib = library()
        >>> lib is None or lib.mask_plugins_interface() == INTERFACE
        True
    """
    return None if os.environ.get(SWITCH) == '0' else _load()[0]


def library_for(*tensors: torch.Tensor) -> Optional[ctypes.CDLL]:
    """The compiled kernels, if they can compute with these maps.

    Args:
        *tensors (Tensor): Of one of ``DTYPES`` on the CPU, none of which
            needs a gradient.

    Examples:
        >>> library_for(torch.ones(1, dtype=torch.int64)) is None
        True
    """
    fit = all(
        t.dtype in DTYPES
        and t.dtype is tensors[0].dtype
        and t.device.type == 'cpu'
        and not (t.requires_grad and torch.is_grad_enabled())
        for t in tensors
    )
    return library() if fit and not is_compiling() else None


def status() -> str:
    """One line: which instruction set runs, or why none does.

    Examples:
        >>> status().split()[0].rstrip(':') in ('compiled', 'torch')
        True
    """
    if os.environ.get(SWITCH) == '0':
        return f'torch: switched off by {SWITCH}=0'
    return _load()[1]


@lru_cache(None)
def _load() -> Tuple[Optional[ctypes.CDLL], str]:
    """The library of the CPU's instruction set, and a line on it."""
    try:
        name = open_library('baseline').mask_plugins_cpu().decode()
        found = open_library(name)
    except OSError as error:
        line = f'torch: no compiled kernels ({error})'
        logging.getLogger(__name__).info(line)
        return None, line
    return found, f'compiled kernels for {name}'


def open_library(name: str) -> ctypes.CDLL:
    """Load the build for an instruction set.

    Args:
        name (str): ``'baseline'``, ``'avx2'`` or ``'avx512'``, the latter
            only on a CPU that has it.

    Raises:
        OSError: If it is not built, or not of this version.
    """
    path = FOLDER / f'kernels_{name}.so'
    if not path.is_file():
        raise OSError(f'{path.name} is not built')
    found = ctypes.CDLL(str(path))
    if found.mask_plugins_interface() != INTERFACE:
        raise OSError(f'{path.name} is of another version, build it again')
    found.mask_plugins_cpu.restype = ctypes.c_char_p
    found.mask_plugins_use_threads.argtypes = [ctypes.c_void_p]
    found.mask_plugins_use_threads(_threads_of_torch())
    return found


def _threads_of_torch() -> Optional[int]:
    """Address of ``GOMP_parallel`` in the OpenMP that torch has loaded."""
    folder = Path(torch.__file__).parent / 'lib'
    for path in folder.glob('libtorch_cpu.*'):
        try:
            run = ctypes.CDLL(str(path)).GOMP_parallel
        except (OSError, AttributeError):
            continue
        return ctypes.cast(run, ctypes.c_void_p).value
    return None
