# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Put gates on the layers of a model that exists."""

from fnmatch import fnmatchcase
from typing import List, Sequence, Union

from torch import nn

from .gated_block import GatedBlockMixin, is_residual_block
from .gated_conv import GatedConvMixin
from .gated_layer import GatedLayer, composed_class, stock_class
from .gated_stem import StemMember, add_stem, is_stem, remove_stem

PLACES = ('block', 'conv')
_OPTIONS = (
    'gate',
    'patch_size',
    'reuse',
    'break_even',
    'hidden',
    'enabled',
)


def gate_module(
    module: nn.Module,
    gate='threshold',
    reuse: str = 'output',
    break_even: Union[str, float] = 'auto',
    hidden: str = 'cache',
) -> nn.Module:
    """Put a gate on a convolution or a residual block, in place.

    Args:
        module (nn.Module): ``nn.Conv2d``, or a block with ``conv1``,
            ``conv2`` and ``downsample``.
        gate (str | dict | Gate): See :func:`build_gate`.
            Defaults to ``'threshold'``.
        reuse (str): See :class:`GatedLayer`. Defaults to ``'output'``.
        break_even (str | float): See there. Defaults to ``'auto'``.
        hidden (str): See there. Defaults to ``'cache'``.

    Returns:
        nn.Module: The same module; its class is one composed of its own.

    Raises:
        TypeError: If it is neither, or has a part that cannot be gated.
        ValueError: If it is gated already, or an option does not suit.
    """
    if isinstance(module, GatedLayer):
        raise ValueError(
            f'{type(module).__name__} is gated already: call '
            'remove_patch_gates() first'
        )
    if isinstance(module, nn.Conv2d):
        mixin, channels = GatedConvMixin, module.in_channels
    elif is_residual_block(module):
        mixin, channels = GatedBlockMixin, module.conv1.in_channels
    else:
        raise TypeError(
            'a gate goes on a Conv2d or a residual block with conv1, conv2 '
            f'and downsample, got {type(module).__name__}'
        )
    mixin.make_chain(module)  # an error before anything has changed
    module.__class__ = composed_class(mixin, type(module))
    try:
        module.init_gate(gate, channels, reuse, break_even, hidden)
    except (TypeError, ValueError):
        module.__class__ = stock_class(module)
        raise
    return module


def apply_patch_gates(
    model: nn.Module,
    gate='threshold',
    place: str = 'block',
    patch_size=8,
    reuse: str = 'output',
    break_even: Union[str, float] = 'auto',
    stem: bool = True,
    rules: Sequence[dict] = (),
) -> List[str]:
    """Put gates on the residual blocks or on all convolutions, in place.

    Names and values of the model's parameters stay; gates with parameters
    add theirs.

    Args:
        model (nn.Module): The model, before its optimizer is made.
        gate (str | dict): See :func:`build_gate`; one gate is built per
            layer. Defaults to ``'threshold'``.
        place (str): ``'block'`` puts each residual block behind one gate;
            ``'conv'`` puts one on every convolution. Defaults to ``'block'``.
        patch_size (int | tuple[int, int]): Of the input of a layer, in
            pixels of that input. Defaults to 8.
        reuse (str): See :class:`GatedLayer`. Defaults to ``'output'``.
        break_even (str | float): See there. Defaults to ``'auto'``.
        stem (bool): With ``'block'``, whether the first convolution of a
            ResNet is fused with its norm, activation and pooling; its patch
            is four times ``patch_size``. Defaults to True.
        rules (Sequence[dict]): Each has a ``pattern``, a shell pattern of
            names of layers, and any of ``gate``, ``patch_size``, ``reuse``,
            ``break_even``, ``hidden``, ``enabled``; of the rules that match,
            the last one to name an option decides. Defaults to ().

    Returns:
        list[str]: Names of the gated layers.

    Raises:
        TypeError: If a layer cannot be gated; switch it off by a rule.
        ValueError: If nothing was gated, a rule matches no layer, or an
            option is not allowed. The model is then as it was.
    """
    if place not in PLACES:
        raise ValueError(f'place must be one of {PLACES}, got {place!r}')
    for rule in rules:
        unknown = set(rule) - {'pattern', *_OPTIONS}
        if unknown or 'pattern' not in rule:
            raise ValueError(
                f'a rule must have a pattern and any of {_OPTIONS}, got '
                f'{rule!r}'
            )
    base = dict(gate=gate, reuse=reuse, break_even=break_even)
    targets = _targets(model, place, stem)
    for rule in rules:
        if not any(fnmatchcase(n, rule['pattern']) for n, _ in targets):
            raise ValueError(
                f'the pattern {rule["pattern"]!r} of rules matches none of '
                f'{[name for name, _ in targets]}'
            )
    done: List[str] = []
    try:
        for name, module in targets:
            is_root = is_stem(module)
            options = dict(base, patch_size=patch_size, enabled=True)
            if is_root:
                options['patch_size'] = _times_four(patch_size)
            for rule in rules:
                if fnmatchcase(name, rule['pattern']):
                    options.update(rule)
            options.pop('pattern', None)
            if not options.pop('enabled'):
                continue
            size = options.pop('patch_size')
            one = options['gate']
            one = dict(type=one) if isinstance(one, str) else one
            if isinstance(one, dict):
                options['gate'] = {'patch_size': size, **one}
            put = add_stem if is_root else gate_module
            try:
                put(module, **options)
            except (TypeError, ValueError) as error:
                raise type(error)(f'{name}: {error}') from error
            done.append(name)
        if not done:
            raise ValueError(
                f'{type(model).__name__} has no layer to gate with place='
                f"{place!r}: try place='conv', or check the rules"
            )
    except (TypeError, ValueError):
        remove_patch_gates(model)
        raise
    return done


def _targets(model: nn.Module, place: str, stem: bool):
    """Names and modules that could get a gate; a stem as its network."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, GatedLayer):
            raise ValueError(f'{name or "the model"} is gated already')
        if place == 'conv':
            if isinstance(module, nn.Conv2d):
                found.append((name, module))
        elif is_residual_block(module):
            found.append((name, module))
        elif stem and is_stem(module):
            found.append((f'{name}.conv1' if name else 'conv1', module))
    return found


def _times_four(patch_size):
    if isinstance(patch_size, (tuple, list)):
        return tuple(4 * side for side in patch_size)
    return 4 * patch_size


def remove_patch_gates(model: nn.Module) -> nn.Module:
    """Take all gates off again, in place: classes are the stock ones.

    Args:
        model (nn.Module): With or without gates made by
            :func:`apply_patch_gates` or :func:`gate_module`.

    Returns:
        nn.Module: The same model.
    """
    for module in list(model.modules()):
        if isinstance(module, StemMember):
            remove_stem(module)
        if isinstance(module, GatedLayer) and hasattr(
            type(module), '_composed'
        ):
            module.__class__ = stock_class(module)
            module._modules.pop('gate', None)
            for name in (
                'reuse',
                'break_even',
                'hidden',
                '_chain',
                '_binding',
            ):
                module.__dict__.pop(name, None)
            module.__dict__.pop('_name', None)
    return model
