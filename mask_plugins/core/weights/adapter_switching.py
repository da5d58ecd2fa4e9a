# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Load the masks of several tasks onto one base, and switch between them."""

import os
import warnings
from fnmatch import fnmatchcase
from typing import Dict, List, Optional, Union

import torch
from torch import Tensor, nn

from .adapter_file import Adapter, read_adapter
from .base_hash import base_hash, tensor_hash
from .binary_mask import BinaryMask
from .bits import unpack_bits
from .lifecycle import BANK, named_masks
from .masked_module import (
    MaskedModule,
    ReadingModule,
    attach_mask,
    detach_masks,
    unmake_reader,
)
from .weight_readers import attach_readers


class _Bank:
    """Adapters of one model, and what the base had in place of their state."""

    def __init__(self) -> None:
        self.adapters: Dict[str, Adapter] = {}
        self.active: Optional[str] = None
        self.replaced: Dict[str, Tensor] = {}


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
    All is checked first: after an error the model is what it was.

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
        FileNotFoundError, ValueError: If the file cannot be read, or does not
            fit the model.
    """
    adapter, where = source, 'the adapter'
    if not isinstance(source, Adapter):
        adapter, where = read_adapter(source), repr(os.fspath(source))
    trained = [
        item.name
        for item in named_masks(model)
        if not isinstance(item.mask, BinaryMask)
    ]
    if trained:
        raise ValueError(
            f'load_masks: the model has masks in training ({trained[0]}, ...)'
            ': load onto the base model, or merge_masks first'
        )
    adapter = _take(adapter, only, where)
    _check_shapes(model, adapter, where)
    active = active_masks(model)
    activate_masks(model, None)
    try:
        _check_base(model, adapter, where, strict, only == '*')
        bank = model.__dict__.setdefault(BANK, _Bank())
        bank.adapters[name] = adapter
        active = name if activate else active
    finally:
        activate_masks(model, active)
    return model


def activate_masks(model: nn.Module, name: Optional[str]) -> None:
    """Switch to the adapter ``name``, or to the base with None.

    Args:
        model (nn.Module): A model that adapters were loaded onto.
        name (str, optional): Of the adapter.

    Raises:
        KeyError: If there is none of that name; it lists those there are.
    """
    bank = model.__dict__.get(BANK) or _Bank()
    if name is not None and name not in bank.adapters:
        raise KeyError(
            f'no adapter {name!r} is loaded, only {sorted(bank.adapters)}'
        )
    if bank.active is not None:
        _take_off(model, bank)
    if name is not None:
        _put_on(model, bank, name)


def active_masks(model: nn.Module) -> Optional[str]:
    """Name of the adapter that is switched to, None for the base."""
    bank = model.__dict__.get(BANK)
    return bank.active if bank else None


def loaded_masks(model: nn.Module) -> List[str]:
    """Names of the adapters that are loaded."""
    bank = model.__dict__.get(BANK)
    return list(bank.adapters) if bank else []


def unload_masks(model: nn.Module, name: str) -> None:
    """Forget an adapter; if it is active, the base is switched to.

    Args:
        model (nn.Module): The model.
        name (str): Of the adapter.

    Raises:
        KeyError: If there is none of that name.
    """
    if name not in loaded_masks(model):
        raise KeyError(
            f'no adapter {name!r} is loaded, only {loaded_masks(model)}'
        )
    if active_masks(model) == name:
        activate_masks(model, None)
    del model.__dict__[BANK].adapters[name]


def _take(adapter: Adapter, only: str, where: str) -> Adapter:
    if only == '*':
        return adapter
    masks = {k: v for k, v in adapter.masks.items() if fnmatchcase(k, only)}
    if not masks:
        raise ValueError(
            f'only={only!r} matches no mask of {where}: it has '
            f'{list(adapter.masks)[:5]}, ...'
        )
    state = {k: v for k, v in adapter.state.items() if fnmatchcase(k, only)}
    settings = {k: adapter.settings[k] for k in masks}
    bases = {k: adapter.bases[k] for k in masks}
    return Adapter(
        masks, settings, state, adapter.base_sha256, bases, adapter.info
    )


def _check_shapes(model: nn.Module, adapter: Adapter, where: str) -> None:
    parameters = dict(model.named_parameters(remove_duplicate=False))
    state = model.state_dict()
    problems = []
    for name, settings in adapter.settings.items():
        if name not in parameters:
            problems.append(f'the model has no parameter {name}')
        elif list(parameters[name].shape) != settings['shape']:
            problems.append(
                f'{name} has the shape {tuple(parameters[name].shape)} in the '
                f'model and {tuple(settings["shape"])} in the file'
            )
    for key, value in adapter.state.items():
        if key not in state:
            problems.append(f'the model has no {key}')
        elif state[key].shape != value.shape:
            problems.append(
                f'{key} has the shape {tuple(state[key].shape)} in the model '
                f'and {tuple(value.shape)} in the file'
            )
    if problems:
        more = f' and {len(problems) - 4} more' if len(problems) > 4 else ''
        raise ValueError(
            f'{where} does not fit the model: {"; ".join(problems[:4])}{more}'
        )


def _check_base(
    model: nn.Module, adapter: Adapter, where: str, strict: bool, whole: bool
) -> None:
    if whole and base_hash(model, adapter.state) == adapter.base_sha256:
        return
    parameters = dict(model.named_parameters(remove_duplicate=False))
    wrong = [
        name
        for name, expected in adapter.bases.items()
        if tensor_hash(parameters[name]) != expected
    ]
    if not wrong and not whole:
        return
    wrong = wrong or ['weights without a mask']
    some = f'{", ".join(wrong[:3])}{", ..." if len(wrong) > 3 else ""}'
    message = (
        f'{where} belongs to other base weights than those of the model '
        f'({some} differ): load the checkpoint that its masks were trained on'
    )
    if strict:
        raise ValueError(f'{message} (strict=False makes this a warning)')
    warnings.warn(message, stacklevel=3)


def _put_on(model: nn.Module, bank: _Bank, name: str) -> None:
    adapter = bank.adapters[name]
    parameters = dict(model.named_parameters(remove_duplicate=False))
    masks: Dict[int, BinaryMask] = {}
    for key, settings in adapter.settings.items():
        options = {k: v for k, v in settings.items() if k != 'shape'}
        on = unpack_bits(adapter.masks[key], tuple(settings['shape']))
        masks[id(parameters[key])] = BinaryMask(parameters[key], on, **options)
    done = set()
    for key, parameter in parameters.items():
        if id(parameter) not in masks:
            continue
        owner, _, leaf = key.rpartition('.')
        module = model.get_submodule(owner)
        if (id(module), leaf) not in done:
            done.add((id(module), leaf))
            attach_mask(module, leaf, masks[id(parameter)])
    attach_readers(model)
    bank.replaced = _exchange(model, adapter.state)
    bank.active = name


def _take_off(model: nn.Module, bank: _Bank) -> None:
    for module in model.modules():
        if isinstance(module, ReadingModule):
            unmake_reader(module)
        if isinstance(module, MaskedModule):
            detach_masks(module)
    _exchange(model, bank.replaced)
    bank.replaced, bank.active = {}, None


@torch.no_grad()
def _exchange(
    model: nn.Module, values: Dict[str, Tensor]
) -> Dict[str, Tensor]:
    """Write values into the state; what they replace."""
    state = model.state_dict(keep_vars=True)
    replaced = {key: state[key].detach().clone() for key in values}
    for key, value in values.items():
        state[key].copy_(value)
    return replaced
