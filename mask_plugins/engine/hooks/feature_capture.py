# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Read features where they flow by."""

from typing import Callable

from torch import Tensor, nn

from mask_plugins.functional.feature_vectors import features_of


class FeatureTap:
    """Call ``take`` with the output of a module at each of its forwards.

    Args:
        model (nn.Module): Not wrapped.
        layer (str): Dotted path of a module. Without a neck, ``'neck'`` is
            the backbone.
        take (Callable): Gets detached features, :math:`(B, D)`.

    Raises:
        ValueError: If there is no such module.
    """

    def __init__(
        self, model: nn.Module, layer: str, take: Callable[[Tensor], None]
    ) -> None:
        def hook(module, inputs, output) -> None:
            take(features_of(output).detach())

        module = self.find(model, layer)
        self._handle = module.register_forward_hook(hook)

    def close(self) -> None:
        """Stop reading."""
        self._handle.remove()

    @staticmethod
    def find(model: nn.Module, layer: str) -> nn.Module:
        """The module that is read."""
        modules = dict(model.named_modules())
        if layer == 'neck' and 'neck' not in modules:
            layer = 'backbone'
        if layer not in modules or not layer:
            parts = [name for name, _ in model.named_children()]
            raise ValueError(
                f'layer {layer!r} is no module of '
                f'{type(model).__name__}, which has {parts}'
            )
        return modules[layer]
