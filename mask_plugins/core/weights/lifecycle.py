# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Switch masks off, bake them in, take them out again."""

from contextlib import contextmanager
from typing import Dict, Iterator, List, NamedTuple, Tuple

import torch
from torch import Tensor, nn

from .masked_module import (
    MaskedModule,
    ReadingModule,
    attach_mask,
    detach_masks,
    effective_parameters,
    held,
    make_reader,
    masked_names,
    unheld,
    unmake_reader,
)
from .weight_mask import WeightMask

_RECORD = '_merged_masks'
# Where adapters keep what is loaded; what is merged cannot be switched.
BANK = '_mask_adapters'


class NamedMask(NamedTuple):
    """A mask and the parameter that it masks.

    Args:
        name (str): Full name of the parameter.
        parameter (Parameter): The parameter.
        mask (WeightMask): Its mask.
    """

    name: str
    parameter: nn.Parameter
    mask: WeightMask


def named_masks(model: nn.Module) -> Iterator[NamedMask]:
    """All masks of a model; that of a tied weight once.

    Args:
        model (nn.Module): Any module.

    Yields:
        NamedMask: In the order of the modules.
    """
    seen = set()
    for path, module in model.named_modules():
        for name in masked_names(module):
            mask = module._modules[f'{name}_mask']
            if id(mask) not in seen:
                seen.add(id(mask))
                full = f'{path}.{name}' if path else name
                yield NamedMask(full, module._parameters[name], mask)


@contextmanager
def disable_masks(model: nn.Module) -> Iterator[None]:
    """The base model while inside: its output is that, bit for bit.

    Args:
        model (nn.Module): Any module.
    """
    states = [(item.mask, item.mask.enabled) for item in named_masks(model)]
    try:
        for mask, _ in states:
            mask.enabled = False
        with unheld(*model.modules()):
            yield
    finally:
        for mask, enabled in states:
            mask.enabled = enabled


@contextmanager
def hold_masks(model: nn.Module) -> Iterator[None]:
    """Compute every masked weight once for all forward passes inside.

    For an evaluation, or several crops in one step. Parameters and masks must
    not change inside; costs the memory of the effective weights.

    Args:
        model (nn.Module): Any module.
    """
    with held(*model.modules()):
        yield


@contextmanager
def collect_sums(model: nn.Module) -> Iterator[List[Tensor]]:
    """The sum of each soft mask, taken on the way of the forward inside.

    It is a by-product of the masked weight; masks that the forward inside did
    not use are computed at the end.

    Args:
        model (nn.Module): With masks that are :class:`SoftMask`.

    Yields:
        list[Tensor]: Filled when the context ends: one scalar per mask.
    """
    masks = [item.mask for item in named_masks(model)]
    masks = [mask for mask in masks if hasattr(mask, '_sums')]
    sums: List[Tensor] = []
    try:
        for mask in masks:
            mask._sums = []
        yield sums
        sums += [m._sums[0] if m._sums else m.sum() for m in masks]
    finally:
        for mask in masks:
            mask._sums = None


@torch.no_grad()
def merge_masks(model: nn.Module, keep: bool = False) -> nn.Module:
    """Bake the masks into the weights and remove them, in place.

    State-dict keys and classes are then the stock ones, and so is the speed.
    Of adapters (:func:`load_masks`) the active one is baked, others are
    forgotten.

    Args:
        model (nn.Module): Any module.
        keep (bool): Keep the base weights and the masks aside, outside the
            state dict, so that :func:`unmerge_masks` can bring them back.
            Defaults to False.

    Returns:
        nn.Module: The same model; `requires_grad` stays as it is.

    Raises:
        ValueError: If it has no masks.
    """
    if next(named_masks(model), None) is None:
        raise ValueError('merge_masks: the model has no masks')
    # All first: tied weights are read by several modules.
    paths = [
        (path, module, effective_parameters(module))
        for path, module in model.named_modules()
        if isinstance(module, MaskedModule)
    ]
    readers = []
    for path, module in model.named_modules():
        if isinstance(module, ReadingModule):
            readers.append((path, module._reads))
            unmake_reader(module)
    records: List[Tuple[str, str, Tensor, WeightMask]] = []
    for path, module, effective in paths:
        for name, mask in detach_masks(module).items():
            parameter = module._parameters[name]
            records.append((path, name, parameter.data, mask))
            parameter.data = effective[name].detach().clone()
    bank = model.__dict__.pop(BANK, None)
    if keep:
        model.__dict__[_RECORD] = (records, readers, bank)
    return model


@torch.no_grad()
def unmerge_masks(model: nn.Module) -> nn.Module:
    """Undo :func:`merge_masks` with ``keep=True``, in place.

    Base weights and masks are those from before, bit for bit; what the merged
    weights have learned since is lost.

    Args:
        model (nn.Module): The merged model.

    Returns:
        nn.Module: The same model.

    Raises:
        ValueError: If nothing was kept.
    """
    if _RECORD not in model.__dict__:
        raise ValueError(
            'unmerge_masks: nothing was kept; call merge_masks(model, '
            'keep=True) to be able to undo it'
        )
    records, readers, bank = model.__dict__.pop(_RECORD)
    restored: Dict[int, Tensor] = {}
    for path, name, base, mask in records:
        module = model.get_submodule(path)
        parameter = module._parameters[name]
        # A tied parameter is recorded once per owner, the base first.
        restored.setdefault(id(parameter), base)
        parameter.data = restored[id(parameter)].to(parameter)
        attach_mask(module, name, mask.to(parameter.device))
    for path, children in readers:
        make_reader(model.get_submodule(path), children)
    if bank is not None:
        model.__dict__[BANK] = bank
    return model
