# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Read the checkpoints of mmengine's runs without pickle."""

from typing import Any

import torch

from .files import read_checkpoint


class _Ignored:
    """Stands in for what a stock checkpoint holds beside its weights.

    mmengine pickles its log history (numpy arrays, and bound methods through
    ``getattr``). None of it is needed here, so none of it is run.
    """

    def __init__(self, *args) -> None:
        pass

    def __setstate__(self, state) -> None:
        pass


IGNORED = (
    'builtins.getattr',
    'mmengine.logging.history_buffer.HistoryBuffer',
    'numpy.dtype',
    'numpy.ndarray',
    'numpy._core.multiarray._reconstruct',
    'numpy._core.multiarray.scalar',
    'numpy.core.multiarray._reconstruct',
    'numpy.core.multiarray.scalar',
)


def read_run_checkpoint(path: str) -> Any:
    """Read a checkpoint, that of a stock hook with its log history, too.

    Args:
        path (str): ``.pth`` or ``.safetensors``.

    Returns:
        Any: Usually a dict; what is no plain data is left out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, or holds other objects.
    """
    ignored = [(_Ignored, name) for name in IGNORED]
    with torch.serialization.safe_globals(ignored):
        return read_checkpoint(path)
