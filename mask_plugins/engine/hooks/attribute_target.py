# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Find the attributes of a model that a dotted path means."""

import difflib
import re
from typing import Any, List, NamedTuple

import torch
from mmengine.model import is_model_wrapper
from torch import nn


class Target(NamedTuple):
    """One attribute of one module."""

    module: nn.Module
    name: str
    path: str

    def get(self) -> Any:
        """The value it has now, a tensor as a number."""
        value = getattr(self.module, self.name)
        return value.item() if isinstance(value, torch.Tensor) else value

    def set(self, value: float) -> None:
        """Set it; a tensor in place, so that a compiled graph sees it."""
        current = getattr(self.module, self.name)
        if isinstance(current, torch.Tensor):
            with torch.no_grad():
                current.fill_(value)
        else:
            setattr(self.module, self.name, value)


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside DDP-like wrappers and ``torch.compile``."""
    while True:
        if is_model_wrapper(model):
            model = model.module
        elif hasattr(model, '_orig_mod'):
            model = model._orig_mod
        else:
            return model


def find_targets(model: nn.Module, path: str) -> List[Target]:
    """The attributes that ``path`` means.

    ``backbone.drop_ratio`` is that attribute of ``model.backbone``. Where
    the model has no such path, a module somewhere inside it whose path ends
    so is taken, which looks through classifiers inside wrappers. ``*`` stands
    for one module name, ``**`` for any number of them.

    Args:
        model (nn.Module): The model, wrapped or not.
        path (str): Dotted path to an attribute that holds a number or a
            tensor with one element.

    Returns:
        list[Target]: At least one; several only if ``path`` has a ``*``.

    Raises:
        AttributeError: If nothing matches; it lists what exists there.
        ValueError: If several match and ``path`` has no ``*``.
        TypeError: If the attribute is not a number.

    Examples:
        >>> model = nn.Sequential(nn.Dropout(0.1), nn.Dropout(0.2))
        >>> [target.path for target in find_targets(model, '*.p')]
        ['0.p', '1.p']
    """
    model = unwrap(model)
    owner, _, name = path.rpartition('.')
    modules = {
        key.replace('_orig_mod.', ''): module
        for key, module in model.named_modules()
        if hasattr(module, name)
    }
    if '*' in owner:
        pattern = re.escape(owner).replace(r'\*\*', '.+')
        pattern = re.compile(pattern.replace(r'\*', '[^.]+'))
        found = [key for key in modules if pattern.fullmatch(key)]
    elif owner in modules:
        found = [owner]
    else:
        tail = f'.{owner}' if owner else ''
        found = [key for key in modules if f'.{key}'.endswith(tail)]
    targets = [
        Target(modules[key], name, f'{key}.{name}'.lstrip('.'))
        for key in found
    ]
    if not targets:
        raise AttributeError(_nothing(model, owner, name, path))
    if len(targets) > 1 and '*' not in owner:
        paths = [target.path for target in targets]
        raise ValueError(
            f"target {path!r} is ambiguous: one of {paths}, or '*'"
        )
    for target in targets:
        value = getattr(target.module, target.name)
        found = f'{value!r} ({type(value).__name__})'
        fits = isinstance(value, (int, float))
        if isinstance(value, torch.Tensor):
            found = f'a tensor of shape {tuple(value.shape)}'
            fits = value.numel() == 1 and not isinstance(value, nn.Parameter)
        if not fits:
            raise TypeError(
                f'target {target.path!r} must be a number or a one-element '
                f'buffer, got {found}'
            )
    return targets


def _nothing(model: nn.Module, owner: str, name: str, path: str) -> str:
    """Say how far the path leads, and what exists there."""
    here, walked = model, []
    for part in owner.split('.') if owner else []:
        if not isinstance(getattr(here, part, None), nn.Module):
            break
        here = getattr(here, part)
        walked.append(part)
    children = [key for key, _ in here.named_children()]
    public = [key for key in dir(here) if not key.startswith('_')]
    numbers = [k for k in public if type(_peek(here, k)) in (int, float)]
    near = difflib.get_close_matches(name, numbers, n=1)
    hint = f'; did you mean {near[0]!r}?' if near else ''
    place = '.'.join(walked) or 'the model'
    return (
        f'target {path!r} matches nothing in {type(model).__name__}. '
        f'{place} ({type(here).__name__}) has the modules {children} and '
        f'the numbers {numbers}{hint}'
    )


def _peek(module: nn.Module, key: str) -> Any:
    try:
        return getattr(module, key)
    except Exception:  # a property may refuse; it is then no candidate
        return None
