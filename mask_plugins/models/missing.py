# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Placeholders that raise a helpful ImportError without mmpretrain or mmcv."""

from importlib.util import find_spec
from typing import Callable, Sequence

from mask_plugins.registry import MODELS
from mask_plugins.utils.openmmlab import missing_message


def _absent(project: str) -> bool:
    try:
        return find_spec(project) is None
    except (ImportError, ValueError):  # an import hook or sys.modules says no
        return True


# The first of what the models import that is not installed.
MISSING = next(filter(_absent, ('mmpretrain', 'mmcv')), None)
HAS_MMPRETRAIN = MISSING is None


def register_missing(names: Sequence[str]) -> None:
    """Register placeholders for models that build on mmpretrain and mmcv.

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
        ImportError: mask_plugins.SomeNewModel needs mmpretrain, which \
is not installed: pip install ...
        >>> del MODELS.module_dict['SomeNewModel']
    """
    for name in names:
        MODELS.register_module(name=name, module=_missing(name))


def _missing(name: str) -> Callable:
    def build(*args, **kwargs):
        what = f'mask_plugins.{name}'
        raise ImportError(missing_message(MISSING or 'mmpretrain', what))

    return build
