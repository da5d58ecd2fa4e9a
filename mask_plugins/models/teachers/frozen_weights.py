# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Config and weights of a teacher that was trained before."""

from typing import Callable, Union

from mmengine.config import Config
from mmengine.hub import get_config
from torch import nn

from mask_plugins.models.converters import take_weights
from mask_plugins.utils.checks import PathLike, check_path
from mask_plugins.utils.safe_load import read_checkpoint


def read_config(config: Union[PathLike, dict]) -> dict:
    """A config, read from its file or from an installed project."""
    if isinstance(config, dict):
        return config
    path = check_path('config', config)
    return get_config(path) if '::' in path else Config.fromfile(path)


def load_frozen(
    network: nn.Module, path: str, is_own: Callable[[str], bool], kind: str
) -> None:
    """Load all weights of a teacher, or say what does not fit.

    Args:
        network (nn.Module): Changed in place.
        path (str): A ``.pth`` or ``.safetensors`` file.
        is_own (Callable): Whether a key of it belongs to the teacher.
        kind (str): Class of the teacher.

    Raises:
        ValueError: If keys are missing, too many, or of another shape.
    """
    weights = take_weights(read_checkpoint(path), 'state_dict', path)
    for key in [key for key in weights if not is_own(key)]:
        del weights[key]
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f'checkpoint {path!r} does not fit the teacher: {error}\nGive the '
            f'config of the checkpoint as `config` of mask_plugins.{kind}'
        ) from error
