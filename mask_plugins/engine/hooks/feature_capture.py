# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Read features as the model computes them."""

from typing import Callable

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mask_plugins.functional.feature_vectors import features_of
from mask_plugins.models import layer_by_name

from .attribute_target import unwrap


def capture_features(
    model: nn.Module, layer: str, take: Callable[[Tensor], None]
) -> RemovableHandle:
    """Call ``take`` with the output of a module at each of its forwards.

    Args:
        model (nn.Module): The model, wrapped or not.
        layer (str): See :func:`find_layer`.
        take (Callable): Gets detached features, :math:`(B, D)`.

    Returns:
        RemovableHandle: Its ``remove()`` stops the reading.

    Raises:
        ValueError: If there is no such module.
    """

    def hook(module, inputs, output) -> None:
        take(features_of(output).detach())

    return find_layer(model, layer).register_forward_hook(hook)


def find_layer(model: nn.Module, layer: str) -> nn.Module:
    """The module at a dotted path; ``'neck'`` without a neck is the backbone.

    Raises:
        ValueError: If there is no such module.
    """
    model = unwrap(model)
    if layer == 'neck' and 'neck' not in dict(model.named_children()):
        layer = 'backbone'
    return layer_by_name.find_layer(model, layer)
