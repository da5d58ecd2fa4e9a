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
from .use_check import drop_use_check, put_use_check
from .weight_mask import WeightMask

SUFFIX = '_mask'
# Forward runs in kernels that read memory, not through the module.
_OPAQUE = ('quantized', 'torchao')


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
        if name not in self._parameters:  # not yet, or deleted
            raise AttributeError(name)
        try:
            return read_parameter(self, name, name + SUFFIX)
        except AttributeError as error:
            # nn.Module.__getattr__ would return the bare parameter for it.
            raise RuntimeError(f'the mask of {name}: {error}') from error

    return property(read)


def masked_names(module: nn.Module) -> Tuple[str, ...]:
    """Names of the masked parameters that this very module owns."""
    return getattr(type(module), '_masked', ())


def check_maskable(model: nn.Module, name: str) -> None:
    """Raise if a mask on this parameter would fail or be ignored.

    Args:
        model (nn.Module): The model, unwrapped.
        name (str): Full name of the parameter.

    Raises:
        TypeError: If it cannot be masked.
        ValueError: If it is masked already.
    """
    owner, _, leaf = name.rpartition('.')
    module = model.get_submodule(owner)
    if leaf in masked_names(module):
        raise ValueError(f'{name} is masked already: merge its mask first')
    kind = stock_class(module).__name__
    hooks = (type(hook) for hook in module._forward_pre_hooks.values())
    # torch.nn.utils.prune, weight_norm and spectral_norm of old
    hooks = [h for h in hooks if h.__module__.startswith('torch.nn.utils')]
    reason = ''
    if any(part in stock_class(module).__module__ for part in _OPAQUE):
        reason = f'{kind} is quantized'
    elif hasattr(module, 'parametrizations'):
        reason = f'{kind} is parametrized'
    elif stock_class(module).forward is nn.Module.forward:
        reason = f'{kind} has no forward of its own, others read it'
    elif isinstance(module, nn.RNNBase):
        reason = f'{kind} reads a flat copy of its weights'
    elif getattr(module, 'sparse', False) is True:
        reason = f'{kind}(sparse=True) has sparse gradients'
    elif getattr(module, 'max_norm', None) is not None:
        reason = f'{kind}(max_norm=...) changes its weight in place'
    elif hooks:
        reason = f'{hooks[0].__name__} computes a weight of {kind}: remove it'
    elif hasattr(module, leaf + SUFFIX):
        reason = f'{kind} has an attribute {leaf}{SUFFIX}'
    if reason:
        raise TypeError(f'{name} cannot be masked: {reason}')


def attach_mask(module: nn.Module, name: str, mask: WeightMask) -> None:
    """Put a mask on a parameter that :func:`check_maskable` lets pass.

    Args:
        module (nn.Module): Owns the parameter; changed in place.
        name (str): Of the parameter, without dots.
        mask (WeightMask): Its mask; may be that of a tied weight elsewhere.
    """
    names = masked_names(module)
    decompose(module, ScopedModule)
    compose(module, MaskedModule, (*names, name))
    module.add_module(name + SUFFIX, mask)


def detach_all(model: nn.Module) -> None:
    """Take all masks off, in place; classes are the stock ones again."""
    for module in list(model.modules()):
        for name in masked_names(module):
            del module._modules[name + SUFFIX]
        decompose(module, MaskedModule)
    update_scopes(model)


def update_scopes(model: nn.Module) -> None:
    """Have exactly the modules that contain masked ones open scopes.

    And have the masks named that its first forward does not use. To be called
    on the root after masks were attached or detached.

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
                drop_use_check(module)
            elif not isinstance(module, ScopedModule) and public_methods(
                stock_class(module)
            ):
                compose(module, ScopedModule)
        return masked[module]

    if visit(model):
        put_use_check(model)
