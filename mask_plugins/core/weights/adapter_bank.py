# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The adapters of one model, and the switch between them."""

from typing import Any, Dict, Iterable, Optional, Tuple

import torch
from torch import Tensor, nn

from .adapter_content import unpack_bits
from .adapter_file import Adapter
from .binary_mask import BinaryMask
from .masked_module import (
    attach_mask,
    check_maskable,
    detach_all,
    masked_names,
    update_scopes,
)
from .named_masks import base_state, check_values, named_masks, named_tensors


class AdapterBank:
    """Adapters of one model, and what the base had in place of their state."""

    def __init__(self) -> None:
        self.adapters: Dict[str, Adapter] = {}
        self.active: Optional[str] = None
        self.replaced: Dict[str, Tensor] = {}

    def get(self, name: Optional[str]) -> Adapter:
        """The adapter of that name; with None, one of nothing.

        Raises:
            KeyError: If there is no such adapter.
        """
        if name is None:
            return Adapter({}, {}, {}, '', {})
        if name not in self.adapters:
            raise KeyError(
                f'no adapter {name!r} is loaded, only {sorted(self.adapters)}'
            )
        return self.adapters[name]

    def switch(
        self,
        model: nn.Module,
        name: Optional[str],
        adapter: Optional[Adapter] = None,
    ) -> None:
        """Switch to an adapter, or to the base; after an error, to nothing.

        Args:
            model (nn.Module): The model, unwrapped.
            name (str, optional): Of the adapter. None is the base.
            adapter (Adapter, optional): One that is not loaded yet.

        Raises:
            KeyError: If there is no such adapter.
            TypeError: If a parameter cannot be masked.
            ValueError: If a part of the model is on the meta device.
        """
        check_values(model, 'a switch of masks')
        adapter = adapter or self.get(name)
        bits = _unpacked(adapter)
        masks = {item.name: item.mask for item in named_masks(model)}
        if not masks:
            for path in _places(model, bits):
                check_maskable(model, path)
        state = base_state(model)
        base = {
            key: self.replaced.get(key, state[key]).detach().clone()
            for key in {**self.replaced, **adapter.state}
        }
        _exchange(state, {**base, **adapter.state})
        if masks.keys() == bits.keys():
            for key, mask in masks.items():
                mask.become(*bits[key])
        else:
            _attach(model, bits)
        self.replaced = {key: base[key] for key in adapter.state}
        self.active = name


def _unpacked(adapter: Adapter) -> Dict[str, Tuple[Tensor, Dict[str, Any]]]:
    """Name of each masked parameter -> bits, and how they are applied."""
    found = {}
    for name, settings in adapter.settings.items():
        options = dict(settings)
        shape, _ = options.pop('shape'), options.pop('dtype')
        found[name] = unpack_bits(adapter.masks[name], tuple(shape)), options
    return found


def _attach(model: nn.Module, bits: Dict[str, tuple]) -> None:
    """Put masks of these parameters in place of those that are there."""
    parameters = named_tensors(model)
    masks = {
        name: BinaryMask(parameters[name], on, **options)
        for name, (on, options) in bits.items()
    }
    detach_all(model)
    for path, name in _places(model, bits).items():
        owner, _, leaf = path.rpartition('.')
        module = model.get_submodule(owner)
        if leaf not in masked_names(module):  # it may stand twice
            attach_mask(module, leaf, masks[name])
    update_scopes(model)


def _places(model: nn.Module, names: Iterable[str]) -> Dict[str, str]:
    """Full name of each parameter, tied ones included -> its mask's name."""
    parameters = named_tensors(model)
    of = {id(parameters[name]): name for name in names}
    return {
        path: of[id(parameter)]
        for path, parameter in model.named_parameters(remove_duplicate=False)
        if id(parameter) in of
    }


@torch.no_grad()
def _exchange(state: Dict[str, Tensor], values: Dict[str, Tensor]) -> None:
    """Write values into the state: all of them, or after an error none."""
    before = {key: state[key].detach().clone() for key in values}
    try:
        for key, value in values.items():
            state[key].copy_(value)
    except BaseException:
        for key, value in before.items():
            state[key].copy_(value)
        raise
