# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What stands behind ``module=`` of a wrapper."""

from typing import Optional, Union

from torch import nn

from mask_plugins.registry import MODELS


def build_module(
    module: Union[dict, nn.Module], data_preprocessor: Optional[dict] = None
) -> nn.Module:
    """Build a model, unless it is one.

    Args:
        module (dict | nn.Module): Config of any model.
        data_preprocessor (dict, optional): The runner adds it for a whole
            model; passed on to a config that has none. Defaults to None.

    Examples:
        >>> build_module(nn.ReLU())
        ReLU()
    """
    if not isinstance(module, dict):
        return module
    module = dict(module)
    if data_preprocessor is not None:
        module.setdefault('data_preprocessor', data_preprocessor)
    return MODELS.build(module)
