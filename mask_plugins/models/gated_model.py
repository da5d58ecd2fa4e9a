# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Put gates on any registered model."""

from typing import Any, Optional, Union

from torch import nn

from mask_plugins.core.patches import apply_gates
from mask_plugins.registry import MODELS


@MODELS.register_module(name='GatedModel')
def build_gated_model(
    module: Union[dict, nn.Module],
    data_preprocessor: Optional[dict] = None,
    **options: Any,
) -> nn.Module:
    """Build a backbone or whole model with gated layers.

    In a config: ``backbone=dict(type='mask_plugins.GatedModel',
    module=dict(type='mask_plugins.CIFARResNet', depth=20), gate='pooled',
    patch_size=4)``. Keys and values of the state dict stay those of the stock
    model; gates with parameters add theirs.

    Args:
        module (dict | nn.Module): Config of any model of any OpenMMLab
            project.
        data_preprocessor (dict, optional): The runner adds it for a whole
            model; passed on.
        **options: See :func:`mask_plugins.core.patches.apply_gates`.

    Returns:
        nn.Module: The model itself, not a wrapper around it.

    Raises:
        TypeError, ValueError: If a layer cannot be gated, or an option is not
            allowed.
    """
    if isinstance(module, dict):
        module = dict(module)
        if data_preprocessor is not None:
            module.setdefault('data_preprocessor', data_preprocessor)
        module = MODELS.build(module)
    apply_gates(module, **{k: plain(v) for k, v in options.items()})
    return module


def plain(value: Any) -> Any:
    """A value of a config without its ConfigDicts."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    return value
