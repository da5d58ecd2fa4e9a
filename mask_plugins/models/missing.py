# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Placeholders that raise a helpful ImportError without mmpretrain."""

from importlib.util import find_spec
from typing import Callable, Sequence

from mask_plugins.registry import MODELS

try:
    HAS_MMPRETRAIN = find_spec('mmpretrain') is not None
except (ImportError, ValueError):  # an import hook or sys.modules says no
    HAS_MMPRETRAIN = False


def register_missing(names: Sequence[str]) -> None:
    """Register placeholders for models that build on mmpretrain.

    mmdet and mmseg users have every model that does not. A config that names
    one of the others is told what to install, instead of "X is not in the
    registry".

    Args:
        names (Sequence[str]): Names in ``MODELS``.

    Examples:
        >>> register_missing(['SomeNewModel'])
        >>> MODELS.build(dict(type='SomeNewModel'))
        Traceback (most recent call last):
        ...
        ImportError: mask_plugins.SomeNewModel builds on mmpretrain, which \
is not installed: mim install 'mmpretrain>=1.2.0'
        >>> del MODELS.module_dict['SomeNewModel']
    """
    for name in names:
        MODELS.register_module(name=name, module=_missing(name))


def _missing(name: str) -> Callable:
    def build(*args, **kwargs):
        raise ImportError(
            f'mask_plugins.{name} builds on mmpretrain, which is not '
            "installed: mim install 'mmpretrain>=1.2.0'"
        )

    return build
