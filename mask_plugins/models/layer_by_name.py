# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Layers that a config names."""

import difflib

from torch import nn


def find_layer(
    model: nn.Module, layer: str, what: str = 'the model'
) -> nn.Module:
    """The module at a dotted path.

    Args:
        model (nn.Module): The model, unwrapped.
        layer (str): Path such as ``'backbone.layer4'``.
        what (str): Name of the model in the error.
            Defaults to ``'the model'``.

    Raises:
        ValueError: If there is no such module.

    Examples:
        >>> find_layer(nn.Sequential(nn.ReLU()), '0')
        ReLU()
        >>> find_layer(nn.ReLU(), 'neck')
        Traceback (most recent call last):
        ...
        ValueError: the model has no layer 'neck', it has []
    """
    modules = dict(model.named_modules())
    del modules['']
    if layer not in modules:
        parts = [name for name, _ in model.named_children()]
        near = difflib.get_close_matches(layer, modules, n=1)
        hint = f'; did you mean {near[0]!r}?' if near else ''
        raise ValueError(
            f'{what} has no layer {layer!r}, it has {parts}{hint}'
        )
    return modules[layer]
