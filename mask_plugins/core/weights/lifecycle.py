# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Switch masks off, hold them, bake them in, take them off."""

from contextlib import contextmanager
from typing import Dict, Iterator, List

import torch
from torch import Tensor, nn

from .masked_module import (
    SUFFIX,
    attach_mask,
    check_maskable,
    detach_all,
    masked_names,
    update_scopes,
)
from .named_masks import check_values, named_masks, unwrap
from .scope import Scope, current_scope, entered
from .use_check import KEPT

_RECORD = '_merged_masks'
# Where adapters keep what is loaded; what is merged cannot be switched.
BANK = '_mask_adapters'
# What was trained before rules froze it: name -> requires_grad.
TRAINED = '_trained_before_masks'


@contextmanager
def disable_masks(model: nn.Module) -> Iterator[None]:
    """The base model while inside: its output is that, bit for bit.

    Args:
        model (nn.Module): Any module.

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskLinear
        >>> layer, x = SoftMaskLinear(2, 3), torch.ones(1, 2)
        >>> with disable_masks(layer):
        ...     base = layer(x)
    """
    states = [(item.mask, item.mask.enabled) for item in named_masks(model)]
    try:
        for mask, _ in states:
            mask.enabled = False
        with entered(None):
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

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskLinear
        >>> layer = SoftMaskLinear(2, 3)
        >>> with hold_masks(layer):
        ...     outputs = [layer(torch.ones(1, 2)) for _ in range(5)]
    """
    scope = Scope(None, current_scope(), held=True)
    for _, parameter, mask in named_masks(model):
        scope.values[mask] = (parameter, mask(parameter))
    with entered(scope):
        yield


@contextmanager
def collect_sums(model: nn.Module) -> Iterator[List[Tensor]]:
    """The sum of each soft mask, as a by-product of the forward inside.

    Masks that the forward inside did not use are computed at the end.

    Args:
        model (nn.Module): With masks that are :class:`SoftMask`.

    Yields:
        list[Tensor]: Filled when the context ends: one scalar per mask.

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskLinear
        >>> layer = SoftMaskLinear(2, 3)
        >>> with collect_sums(layer) as sums:
        ...     out = layer(torch.ones(1, 2))
        >>> sums[0].item()
        6.0
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
        keep (bool): Keep the base weights and the masks outside the state
            dict, so that :func:`unmerge_masks` can bring them back.
            Defaults to False.

    Returns:
        nn.Module: The same model; `requires_grad` stays as it is.

    Raises:
        ValueError: If it has no masks, or a part of it is on the meta device.

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskLinear
        >>> type(merge_masks(SoftMaskLinear(2, 3))).__name__
        'Linear'
    """
    root = _with_masks(model, 'merge_masks')
    check_values(root, 'merge_masks')
    records, merged = [], {}
    for path, module in root.named_modules():
        for name in masked_names(module):
            parameter = module._parameters[name]
            mask = module._modules[name + SUFFIX]
            records.append((path, name, parameter.data, mask))
            # A tied weight is read by several modules: all first.
            merged[id(parameter)] = parameter, mask(parameter).detach().clone()
    detach_all(root)
    for parameter, value in merged.values():
        parameter.data = value
    bank = root.__dict__.pop(BANK, None)
    if keep:
        root.__dict__[_RECORD] = (records, bank)
    else:
        _forget_trained(root)
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
        ValueError: If nothing was kept, or a part of the model is on the
            meta device.

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskLinear
        >>> layer = merge_masks(SoftMaskLinear(2, 3), keep=True)
        >>> len(list(named_masks(unmerge_masks(layer))))
        1
    """
    root = unwrap(model)
    if _RECORD not in root.__dict__:
        raise ValueError(
            'unmerge_masks: nothing was kept; call merge_masks(model, '
            'keep=True) to be able to undo it'
        )
    check_values(root, 'unmerge_masks')
    records, bank = root.__dict__[_RECORD]
    for path, name, *_ in records:
        check_maskable(root, f'{path}.{name}' if path else name)
    del root.__dict__[_RECORD]
    for path, name, base, mask in records:
        module = root.get_submodule(path)
        parameter = module._parameters[name]
        parameter.data = base.to(parameter)
        attach_mask(module, name, mask.to(parameter.device))
    update_scopes(root)
    if bank is not None:
        root.__dict__[BANK] = bank
    return model


def remove_weight_masks(model: nn.Module) -> nn.Module:
    """Take all masks off and forget them, in place.

    The base weights are what they are, all modules are of their stock class,
    and what was trained before :func:`apply_weight_masks` is trained again.
    Adapters are unloaded. See :func:`merge_masks` to bake the masks in.

    Args:
        model (nn.Module): With masks.

    Returns:
        nn.Module: The same model.

    Raises:
        ValueError: If it has no masks.

    Examples:
        >>> from mask_plugins.core.weights import ScoreMask, apply_weight_masks
        >>> net = nn.Linear(2, 3)
        >>> net = apply_weight_masks(net, [('weight', 'mask')], ScoreMask)
        >>> remove_weight_masks(net), net.weight.requires_grad
        (Linear(in_features=2, out_features=3, bias=True), True)
    """
    root = unwrap(model)
    bank = root.__dict__.pop(BANK, None)
    if bank is not None:
        bank.switch(root, None)
    else:
        _with_masks(model, 'remove_weight_masks')
    detach_all(root)
    root.__dict__.pop(KEPT, None)
    _forget_trained(root, restore=True)
    return model


def _with_masks(model: nn.Module, what: str) -> nn.Module:
    root = unwrap(model)
    if next(named_masks(root), None) is None:
        raise ValueError(f'{what}: the model has no masks')
    return root


def _forget_trained(root: nn.Module, restore: bool = False) -> None:
    for module in root.modules():
        trained: Dict[str, bool] = module.__dict__.pop(TRAINED, {})
        for name, parameter in module.named_parameters():
            if restore and name in trained:
                parameter.requires_grad_(trained[name])
