# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The masks of a model by name, and the state that is not theirs."""

from typing import Dict, Iterator, NamedTuple, Tuple

from torch import Tensor, nn

from mask_plugins.utils.checks import check_type
from mask_plugins.utils.first_few import first_few

from .masked_module import SUFFIX, masked_names
from .weight_mask import WeightMask

_COMPILED = '_orig_mod.'
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


class NamedMask(NamedTuple):
    """A mask and the parameter that it masks.

    Args:
        name (str): Full name of the parameter, without those of wrappers.
        parameter (Parameter): The parameter.
        mask (WeightMask): Its mask.
    """

    name: str
    parameter: nn.Parameter
    mask: WeightMask


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside ``torch.compile`` and DataParallel-like wrappers.

    Examples:
        >>> layer = nn.Linear(2, 3)
        >>> unwrap(nn.DataParallel(layer)) is layer
        True
    """
    check_type('model', model, nn.Module, 'a module')
    while True:
        if isinstance(model, _WRAPPERS):
            model = model.module
        elif '_orig_mod' in model._modules:
            model = model._modules['_orig_mod']
        else:
            return model


def clean_name(name: str) -> str:
    """A name without that of a compiled part of the model."""
    return name.replace(_COMPILED, '')


def named_masks(model: nn.Module) -> Iterator[NamedMask]:
    """All masks of a model; that of a tied weight once.

    Args:
        model (nn.Module): Any module, wrapped or not.

    Yields:
        NamedMask: In the order of the modules.

    Examples:
        >>> from torch import nn
        >>> from mask_plugins.core.weights import ScoreMask, apply_weight_masks
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> net = apply_weight_masks(net, [('0.weight', 'mask')], ScoreMask)
        >>> [item.name for item in named_masks(net)]
        ['0.weight']
    """
    seen = set()
    for path, module in unwrap(model).named_modules():
        for name in masked_names(module):
            mask = module._modules[name + SUFFIX]
            if id(mask) not in seen:
                seen.add(id(mask))
                full = clean_name(f'{path}.{name}' if path else name)
                yield NamedMask(full, module._parameters[name], mask)


def named_tensors(model: nn.Module) -> Dict[str, nn.Parameter]:
    """All parameters by name, tied ones under each of their names."""
    found = unwrap(model).named_parameters(remove_duplicate=False)
    return {clean_name(name): parameter for name, parameter in found}


def mask_keys(model: nn.Module) -> Tuple[str, ...]:
    """State-dict keys that belong to masks.

    Args:
        model (nn.Module): Any module, wrapped or not.

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskConv2d
        >>> mask_keys(SoftMaskConv2d(2, 3, 1))[0]
        'weight_mask.logits'
    """
    modules = unwrap(model).named_modules(remove_duplicate=False)
    return tuple(
        clean_name(f'{path}.{key}')
        for path, module in modules
        if isinstance(module, WeightMask)
        for key in module.state_dict()
    )


def write_settings(model: nn.Module, checkpoint: Dict[str, dict]) -> None:
    """Write what schedules have set into a checkpoint, in place.

    An averaged model exchanges its buffers with those of the model, and with
    ``update_buffers=True`` its integer buffers are those of the first step.

    Args:
        model (nn.Module): The model that is trained.
        checkpoint (dict): With ``state_dict`` and perhaps
            ``ema_state_dict``.

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskLinear
        >>> net = nn.Sequential(SoftMaskLinear(2, 3))
        >>> checkpoint = dict(state_dict=net.state_dict())
        >>> net[0].weight_mask.temperature = 5.0
        >>> write_settings(net, checkpoint)
    """
    modules = unwrap(model).named_modules(remove_duplicate=False)
    for path, module in modules:
        if isinstance(module, WeightMask):
            for key, value in module.saved_settings().items():
                for part, start in (('', ''), ('ema_', 'module.')):
                    state = checkpoint.get(f'{part}state_dict', {})
                    if f'{start}{path}.{key}' in state:
                        state[f'{start}{path}.{key}'] = value.clone()


def check_values(model: nn.Module, what: str) -> None:
    """Raise if a part of the model has shapes only, on the meta device.

    Args:
        model (nn.Module): Any module, wrapped or not.
        what (str): Who needs the values, for the error.

    Raises:
        ValueError: It names the first tensors without values.

    Examples:
        >>> check_values(nn.Linear(2, 3, device='meta'), 'pack_masks')
        Traceback (most recent call last):
        ...
        ValueError: pack_masks: weight, bias of the model have no values, \
they are on the meta device: load the weights first
    """
    root = unwrap(model)
    named = (*root.named_parameters(), *root.named_buffers())
    empty = [clean_name(name) for name, tensor in named if tensor.is_meta]
    if empty:
        raise ValueError(
            f'{what}: {first_few(empty)} of the model have no values, they '
            'are on the meta device: load the weights first'
        )


def base_state(model: nn.Module) -> Dict[str, Tensor]:
    """The tensors of the state dict that do not belong to masks.

    Args:
        model (nn.Module): Any module, wrapped or not.

    Returns:
        dict[str, Tensor]: The parameters and buffers themselves.

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskLinear
        >>> list(base_state(SoftMaskLinear(2, 3)))
        ['weight', 'bias']
    """
    inside = set(mask_keys(model))
    state = unwrap(model).state_dict(keep_vars=True)
    clean = {clean_name(key): value for key, value in state.items()}
    return {
        key: value
        for key, value in clean.items()
        if isinstance(value, Tensor) and key not in inside
    }
