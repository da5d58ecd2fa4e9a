# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Compiled kernels for CPUs, where they are built; torch serves where not.

Plain C++ behind a C interface, loaded by ctypes, so that one build serves
every torch and Python. It is compiled once per instruction set; the fastest
on this CPU is loaded. ``MASK_PLUGINS_NATIVE=0`` switches it off,
``MASK_PLUGINS_NATIVE=avx2`` chooses a build.
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
INTERFACE = 3
#: Of the builds: each has what the next one has.
INSTRUCTION_SETS = ('avx512bf16', 'avx512', 'avx2', 'baseline')
#: What maps may hold; sums are float32 whatever they do.
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
    chosen = os.environ.get(SWITCH) or '1'
    return None if chosen == '0' else _load(chosen)[0]


def library_for(*tensors: torch.Tensor) -> Optional[ctypes.CDLL]:
    """The compiled kernels, if they can compute with these maps.

    Args:
        *tensors (Tensor): Of one of ``DTYPES`` on the CPU, none of which
            needs a gradient.

    Examples:
        >>> library_for(torch.ones(1, dtype=torch.int64)) is None
        True
    """
    dtype, grad = tensors[0].dtype, torch.is_grad_enabled()
    if dtype not in DTYPES or is_compiling():
        return None
    for tensor in tensors:  # asked for each frame and layer
        if tensor.dtype is not dtype or tensor.device.type != 'cpu':
            return None
        if grad and tensor.requires_grad:
            return None
    return library()


def status() -> str:
    """One line: which instruction set runs, or why none does.

    Examples:
        >>> status().split()[0].rstrip(':') in ('compiled', 'torch')
        True
    """
    chosen = os.environ.get(SWITCH) or '1'
    if chosen == '0':
        return f'torch: switched off by {SWITCH}=0'
    return _load(chosen)[1]


@lru_cache(None)
def _load(chosen: str) -> Tuple[Optional[ctypes.CDLL], str]:
    """The library chosen (``'1'``: the CPU's fastest), and a line on it."""
    try:
        best = open_library('baseline').mask_plugins_cpu().decode()
    except OSError as error:
        return None, _say_missing(error)
    # A compiler may not know the flags of the widest. The baseline is slower
    # than torch on a CPU that has more.
    names = INSTRUCTION_SETS[INSTRUCTION_SETS.index(best) : -1] or (best,)
    if chosen != '1':
        if chosen not in runnable():
            raise ValueError(
                f'{SWITCH} must be 0, 1 or one of {runnable()} (built, and '
                f'on this CPU), got {chosen!r}'
            )
        names = (chosen,)
    for name in names:
        try:
            return open_library(name), f'compiled kernels for {name}'
        except OSError as error:
            missing = error
    return None, _say_missing(missing)


def _say_missing(error: OSError) -> str:
    """Log why torch serves, once."""
    line = f'torch: no compiled kernels ({error})'
    logging.getLogger(__name__).info(line)
    return line


def runnable() -> Tuple[str, ...]:
    """Builds there are and that this CPU can run, the widest first.

    Raises:
        OSError: If nothing is built.
    """
    baseline = open_library('baseline')
    best = baseline.mask_plugins_cpu().decode()
    if baseline.mask_plugins_runs_bf16():  # not the fastest everywhere
        best = INSTRUCTION_SETS[0]
    names = INSTRUCTION_SETS[INSTRUCTION_SETS.index(best) :]
    return tuple(n for n in names if _path_of(n).is_file())


def _path_of(name: str) -> Path:
    return FOLDER / f'kernels_{name}.so'


def open_library(name: str) -> ctypes.CDLL:
    """Load the build for an instruction set.

    Args:
        name (str): One of :func:`runnable`.

    Raises:
        OSError: If it is not built, or not of this version.
    """
    path = _path_of(name)
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
