# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Load the masks of several tasks onto one base, and switch between them."""

import os
import warnings
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import List, Optional, Union

import torch
from torch import nn

from mask_plugins.utils.checks import check_bool, check_type
from mask_plugins.utils.first_few import first_few

from .adapter_bank import AdapterBank
from .adapter_content import base_hash, dtype_name, tensor_hash
from .adapter_file import Adapter, read_adapter
from .binary_mask import BinaryMask
from .lifecycle import BANK
from .named_masks import base_state, check_values, named_masks, unwrap


def load_masks(
    model: nn.Module,
    source: Union[str, os.PathLike, Adapter],
    name: str = 'default',
    activate: bool = True,
    only: str = '*',
    strict: bool = True,
) -> nn.Module:
    """Load an adapter onto its base model, in place.

    Several may be loaded, each under a name; :func:`activate_masks` switches.
    Everything is validated first: after an error the model is what it was.

    Args:
        model (nn.Module): The base model, without masks of a training.
        source (str | PathLike | Adapter): The file, or its content.
        name (str): What to call it. Defaults to ``'default'``.
        activate (bool): Switch to it. Defaults to True.
        only (str): Shell pattern of the names that are taken, such as
            ``'backbone.*'`` where the head has other classes. Defaults to
            ``'*'``.
        strict (bool): Whether other base weights than those that the masks
            were trained on are an error; otherwise a warning.
            Defaults to True.

    Returns:
        nn.Module: The same model.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If a parameter of the model cannot be masked.
        ValueError: If the file cannot be read, or does not fit the model,
            or a part of the model is on the meta device.

    Examples:
        >>> import copy
        >>> from mask_plugins.core import weights
        >>> base = nn.Linear(2, 3).requires_grad_(False)
        >>> net = weights.apply_weight_masks(
        ...     copy.deepcopy(base), [('weight', 'mask')], weights.ScoreMask)
        >>> _ = load_masks(base, weights.pack_masks(net), 'task')
        >>> active_masks(base)
        'task'
    """
    check_type('name', name, str, 'a text')
    check_type('only', only, str, 'a text')
    allowed = 'a path or an Adapter'
    check_type('source', source, (str, os.PathLike, Adapter), allowed)
    check_bool('activate', activate)
    check_bool('strict', strict)
    root = unwrap(model)
    check_values(root, 'load_masks')
    adapter, where = source, 'the adapter'
    if not isinstance(source, Adapter):
        adapter, where = read_adapter(source), repr(os.fspath(source))
    for item in named_masks(root):
        if not isinstance(item.mask, BinaryMask):
            raise ValueError(
                f'load_masks: the model has masks in training ({item.name}, '
                '...): load onto the base model, or merge_masks first'
            )
    try:
        adapter = _take(adapter.check(), only)
        _check_tensors(root, adapter)
        bank = _bank(root)
        _check_base(root, adapter, bank, strict, only == '*')
    except ValueError as error:
        raise ValueError(f'{where} {error}') from error
    if activate or bank.active == name:
        bank.switch(root, name, adapter)
    bank.adapters[name] = adapter
    root.__dict__[BANK] = bank
    return model


def activate_masks(model: nn.Module, name: Optional[str]) -> None:
    """Switch to the adapter ``name``, or to the base with None.

    Args:
        model (nn.Module): A model that adapters were loaded onto.
        name (str, optional): Of the adapter.

    Raises:
        KeyError: If there is none of that name; it lists those there are.
        ValueError: If a part of the model is on the meta device.

    Examples:
        >>> from mask_plugins.core import weights
        >>> net = weights.SoftMaskLinear(2, 3)
        >>> adapter = weights.pack_masks(net)
        >>> base = weights.remove_weight_masks(net).requires_grad_(False)
        >>> _ = load_masks(base, adapter, 'task', activate=False)
        >>> activate_masks(base, 'task')
        >>> active_masks(base)
        'task'
    """
    bank = _bank(model)
    if name != bank.active:
        bank.switch(unwrap(model), name)


def active_masks(model: nn.Module) -> Optional[str]:
    """Name of the adapter that is switched to, None for the base.

    Examples:
        >>> active_masks(nn.Linear(2, 3)) is None
        True
    """
    return _bank(model).active


def loaded_masks(model: nn.Module) -> List[str]:
    """Names of the adapters that are loaded.

    Examples:
        >>> from mask_plugins.core import weights
        >>> net = weights.SoftMaskLinear(2, 3)
        >>> adapter = weights.pack_masks(net)
        >>> base = weights.remove_weight_masks(net).requires_grad_(False)
        >>> loaded_masks(load_masks(base, adapter, 'task'))
        ['task']
    """
    return list(_bank(model).adapters)


def unload_masks(model: nn.Module, name: str) -> None:
    """Forget an adapter; if it is active, the base is switched to.

    Args:
        model (nn.Module): The model.
        name (str): Of the adapter.

    Raises:
        KeyError: If there is none of that name.

    Examples:
        >>> from mask_plugins.core import weights
        >>> net = weights.SoftMaskLinear(2, 3)
        >>> adapter = weights.pack_masks(net)
        >>> base = weights.remove_weight_masks(net).requires_grad_(False)
        >>> _ = load_masks(base, adapter, 'task')
        >>> unload_masks(base, 'task')
        >>> loaded_masks(base)
        []
    """
    bank = _bank(model)
    bank.get(name)
    if bank.active == name:
        bank.switch(unwrap(model), None)
    del bank.adapters[name]


def _bank(model: nn.Module) -> AdapterBank:
    return unwrap(model).__dict__.get(BANK) or AdapterBank()


def _take(adapter: Adapter, only: str) -> Adapter:
    """The adapter, reduced to the names that a pattern matches."""
    if only == '*':
        return adapter
    parts = {
        part: {k: v for k, v in names.items() if fnmatchcase(k, only)}
        for part, names in vars(adapter).items()
        if part in ('masks', 'settings', 'state', 'bases')
    }
    if not parts['masks']:
        names = list(adapter.masks)[:5]
        raise ValueError(f'has no mask that {only=} matches: {names}, ...')
    return replace(adapter, **parts)


def _check_tensors(model: nn.Module, adapter: Adapter) -> None:
    """Raise unless the model has all that the adapter names, alike."""
    state = base_state(model)
    wanted = {
        name: (tuple(settings['shape']), torch.float, settings['dtype'])
        for name, settings in adapter.settings.items()
    }
    for key, value in adapter.state.items():
        wanted[key] = tuple(value.shape), value.dtype, dtype_name(value)
    problems = []
    for name, (shape, kind, dtype) in wanted.items():
        found = state.get(name)
        if found is None:
            what = 'parameter ' if name in adapter.settings else ''
            problems.append(f'the model has no {what}{name}')
            continue
        here, there = f'has the shape {tuple(found.shape)}', f'{shape}'
        if found.shape == shape:
            here, there = f'is {dtype_name(found)}', dtype
        # Both ways: a float of any size is not an int, and neither is a bool.
        kinds = found.dtype, kind
        alike = torch.can_cast(*kinds) and torch.can_cast(*kinds[::-1])
        if found.shape != shape or not alike:
            problems.append(f'{name} {here} in the model, {there} in the file')
            continue
        value = adapter.state.get(name)
        if value is not None and not value.to(found.dtype).isfinite().all():
            problems.append(f'{name} has values too large for {here[3:]}')
    if problems:
        raise ValueError(
            f'does not fit the model: {first_few(problems, "; ")}'
        )


def _check_base(
    model: nn.Module,
    adapter: Adapter,
    bank: AdapterBank,
    strict: bool,
    whole: bool,
) -> None:
    """Raise, or warn, if the base is not the one of the training."""
    # The base's own values, also while another adapter is active.
    base = {**base_state(model), **bank.replaced}
    if whole and base_hash(base, adapter.state) == adapter.base_sha256:
        return
    wrong = [
        name
        for name, expected in adapter.bases.items()
        if tensor_hash(base[name]) != expected
    ]
    if not wrong and not whole:
        return
    names = wrong or ['weights without a mask']
    message = (
        'belongs to other base weights than those of the model '
        f'({first_few(names)} differ): load the checkpoint of its base'
    )
    for name in wrong:
        made, now = adapter.settings[name]['dtype'], dtype_name(base[name])
        if made != now:
            message = (
                f'was made on weights of {made}, and those of the model are '
                f'{now} ({name}): load it before the model is converted'
            )
    if strict:
        raise ValueError(f'{message} (strict=False makes this a warning)')
    warnings.warn(f'the adapter {message}', stacklevel=3)
