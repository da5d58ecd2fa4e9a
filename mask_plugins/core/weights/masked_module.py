# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Modules whose parameters count through a mask.

An instance changes its class (:mod:`mask_plugins.core.composed`): parameters
keep their names and objects, ``isinstance`` and the layer's own forward stay
what they are, and state-dict keys of the base are those of the stock layer.
What reads the weight, and when, is the matter of :mod:`.scope`.
"""

from typing import Any, Dict, Tuple

from torch import Tensor, nn

from ..composed import compose, decompose, stock_class
from .scope import ScopedModule, public_methods, read_parameter
from .weight_mask import WeightMask

SUFFIX = '_mask'


class MaskedModule(ScopedModule):
    """Mixed into the class of a module that owns masked parameters."""

    _masked: Tuple[str, ...] = ()

    @classmethod
    def class_body(cls, key: Tuple[str, ...]) -> Dict[str, Any]:
        """A property for each masked parameter.

        Args:
            key (tuple[str]): Names of the masked parameters.
        """
        body: Dict[str, Any] = {name: _property(name) for name in key}
        return dict(body, _masked=key)


def _property(name: str) -> property:
    def read(self) -> Tensor:
        return read_parameter(self, name, name + SUFFIX)

    return property(read)


def masked_names(module: nn.Module) -> Tuple[str, ...]:
    """Names of the masked parameters that this very module owns."""
    return getattr(type(module), '_masked', ())


def attach_mask(module: nn.Module, name: str, mask: WeightMask) -> None:
    """Put a mask on a parameter, in place.

    Args:
        module (nn.Module): Owns the parameter.
        name (str): Of the parameter, without dots.
        mask (WeightMask): Its mask; may be that of a tied weight elsewhere.

    Raises:
        TypeError: If the weight is not a plain parameter, because another
            tool has changed the module.
        ValueError: If the parameter is masked already.
    """
    names = masked_names(module)
    kind = type(module).__name__
    if name in names:
        raise ValueError(
            f'{name} of {kind} is masked already: merge or remove its mask '
            'first'
        )
    if not isinstance(module._parameters.get(name), nn.Parameter):
        raise TypeError(
            f'{name} of {kind} is not a plain parameter (parametrized, '
            'pruned, quantized or lazy?) and cannot be masked'
        )
    if name + SUFFIX in module._buffers or hasattr(module, name + SUFFIX):
        raise TypeError(
            f'{kind} has an attribute {name}{SUFFIX}, of torch.nn.utils.prune '
            'perhaps: make its pruning permanent first'
        )
    decompose(module, ScopedModule)
    compose(module, MaskedModule, (*names, name))
    module.add_module(name + SUFFIX, mask)


def detach_masks(module: nn.Module) -> Dict[str, WeightMask]:
    """Take the masks of a module off; its class is the stock one again.

    Returns:
        dict[str, WeightMask]: Name of the parameter -> its mask.
    """
    names = masked_names(module)
    masks = {name: module._modules.pop(name + SUFFIX) for name in names}
    decompose(module, MaskedModule)
    return masks


def update_scopes(model: nn.Module) -> None:
    """Have exactly the modules that contain masked ones open scopes.

    To be called on the root after masks were attached or detached.

    Args:
        model (nn.Module): The model; changed in place.
    """
    masked: Dict[nn.Module, bool] = {}

    def visit(module: nn.Module) -> bool:
        if module not in masked:
            masked[module] = False  # a module may contain itself
            inside = [visit(child) for child in module.children()]
            masked[module] = any(inside) or bool(masked_names(module))
            if not masked[module]:
                decompose(module, ScopedModule)
            elif not isinstance(module, ScopedModule) and public_methods(
                stock_class(module)
            ):
                compose(module, ScopedModule)
        return masked[module]

    visit(model)
