# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""When ``module.weight`` is the effective weight, and when the parameter.

Every public method of a masked module, and of all modules that contain one,
opens a scope. Inside, reading a masked weight gives the effective weight,
whoever reads it and however (in a loop, through an alias, by ``getattr``);
outside it is the parameter, which initializers, loaders and optimizers expect.
Scopes belong to a thread, so that two threads may run one model.
"""

import inspect
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from threading import local
from typing import Callable, Dict, Iterator, List, Optional, Set, Tuple

import torch
from torch import Tensor, nn

from mask_plugins.utils.compat_torch import (
    COMPILES_MASKS,
    is_compiling,
    run_eagerly,
)

from ..composed import Composed
from .weight_mask import WeightMask

# Methods whose first word is one of these see the parameters.
_ON_PARAMETERS = frozenset(
    'init reset load save update copy set step clip configure train '
    'optimizer freeze unfreeze'.split()
)
# Ids of the masks that were asked for, while somebody watches.
WATCHES: List[Set[int]] = []


@dataclass(eq=False)
class Scope:
    """What was computed since a method was entered.

    Args:
        owner (nn.Module, optional): The module whose method it is.
        outer (Scope, optional): The scope around it.
        held (bool): Whether methods that are entered inside use its values
            instead of computing theirs. Defaults to False.
    """

    owner: Optional[nn.Module]
    outer: Optional['Scope']
    held: bool = False
    values: Dict[nn.Module, Tuple[Tensor, Tensor]] = field(
        default_factory=dict
    )

    def find(
        self, mask: nn.Module, parameter: Tensor, own: bool
    ) -> Optional[Tensor]:
        """A value of this scope or of one around it; None if there is none.

        A layer's own forward computes for itself unless the value is held:
        what activation checkpointing runs twice is then the same both times.
        """
        scope: Optional[Scope] = self
        while scope is not None:
            found = scope.values.get(mask)
            if (
                found is not None
                and found[0] is parameter  # functional_call replaces it
                and (scope is self or scope.held or not own)
                # made without a graph, as in a reentrant checkpoint
                and (found[1].requires_grad or not torch.is_grad_enabled())
            ):
                return found[1]
            scope = scope.outer
        return None


class _State(local):
    def __init__(self) -> None:  # in each thread
        self.scope: Optional[Scope] = None


_STATE = _State()


@contextmanager
def entered(scope: Optional[Scope]) -> Iterator[None]:
    """Be in a scope while inside; with None, in no scope.

    Args:
        scope (Scope, optional): The scope.
    """
    before = _STATE.scope
    _STATE.scope = scope
    try:
        yield
    finally:
        _STATE.scope = before


def current_scope() -> Optional[Scope]:
    """The innermost scope of this thread."""
    return _STATE.scope


def read_parameter(module: nn.Module, name: str, mask_name: str) -> Tensor:
    """What ``module.<name>`` is at this moment.

    Args:
        module (nn.Module): Owns the parameter.
        name (str): Of the parameter.
        mask_name (str): Of its mask.

    Returns:
        Tensor: The effective weight inside a scope, else the parameter.
    """
    parameter = module._parameters[name]
    mask = module._modules.get(mask_name)
    scope = _STATE.scope
    if mask is None or (scope is None and not _in_backward()):
        return parameter
    for seen in WATCHES:
        seen.add(id(mask))
    own = scope is not None and scope.owner is module
    value = None if scope is None else scope.find(mask, parameter, own)
    if value is None:
        value = mask(parameter) if own else _beside(mask, parameter)
        if scope is not None:
            scope.values[mask] = (parameter, value)
    return value


def _in_backward() -> bool:
    """Whether a checkpointed method runs again, outside of its scope."""
    if is_compiling():
        return False
    return torch._C._current_graph_task_id() != -1


def _beside(mask: WeightMask, parameter: Tensor) -> Tensor:
    """The effective weight, past the bookkeeping of a checkpoint.

    A checkpoint compares what its two passes save; whether a value is found
    in a scope around it must not matter.
    """
    if is_compiling() or not torch.is_grad_enabled():
        return mask(parameter)
    with torch.autograd.graph.saved_tensors_hooks(_same, _same):
        return mask(parameter)


def _same(tensor: Tensor) -> Tensor:
    return tensor


class ScopedModule(Composed):
    """Mixed into a module that contains masked ones: methods open a scope.

    The composed class has a wrapper around each public method, those of
    other mix-ins included. Methods of :class:`torch.nn.Module` other than
    ``forward`` stay what they are; methods that initialize, load, save or
    update see the parameters also when they are called from a forward.
    """

    if not COMPILES_MASKS:  # looked into, not taken for a stock layer
        torchdynamo_force_dynamic = True

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if '_layers' in cls.__dict__:
            for name, function in public_methods(cls).items():
                open_ = name.split('_')[0] not in _ON_PARAMETERS
                setattr(cls, name, run_eagerly(_wrapped(function, open_)))


def public_methods(cls: type) -> Dict[str, Callable]:
    """The methods of a class of modules that may read weights.

    Args:
        cls (type): A class of modules.

    Returns:
        dict[str, Callable]: Without those of ``nn.Module``, its containers
        and generators. ``forward`` is there if the class has one.
    """
    found = {}
    for name in dir(cls):
        stock = name.startswith('_') or hasattr(nn.Module, name)
        function = inspect.getattr_static(cls, name, None)
        if (
            (name == 'forward' or not stock)
            and inspect.isfunction(function)
            and not inspect.isgeneratorfunction(function)
            and function is not nn.Module.forward
            and function.__module__ != nn.ModuleList.__module__
        ):
            found[name] = function
    return found


def _wrapped(function: Callable, open_: bool) -> Callable:
    @wraps(function)
    def call(self, *args, **kwargs):
        before = _STATE.scope
        _STATE.scope = Scope(self, before) if open_ else None
        try:
            return function(self, *args, **kwargs)
        finally:
            _STATE.scope = before

    return call
