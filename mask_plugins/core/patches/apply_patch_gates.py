# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Put gates on the layers of an existing model."""

from typing import Callable, List, Sequence, Tuple, Union

from torch import nn

from mask_plugins.utils.checked import checked
from mask_plugins.utils.checks import check_choice, check_pair

from ..composed import Composed, compose
from ..rules import Rule, matches, parse_rules
from .gated_block import GatedBlockMixin, is_residual_block
from .gated_conv import GatedConv2d, GatedConvMixin
from .gated_inverted import GatedInvertedMixin, is_inverted_residual
from .gated_layer import OPTIONS, GatedLayer
from .gated_stem import add_stem, is_stem

#: Convolutions of timm's EfficientNets before and after the blocks.
OUTER_CONVS = ('conv_stem', 'conv_head')
#: Of layers that no rule is about.
NO_RULE = Rule('*', 'gate', {})


def gate_module(module: nn.Module, gate='threshold', **options) -> nn.Module:
    """Put a gate on a convolution or a residual block, in place.

    Args:
        module (nn.Module): ``nn.Conv2d``, or a block with ``conv1``,
            ``conv2`` and ``downsample``, or timm's inverted residual.
        gate (str | dict | Gate): See :func:`build_gate`.
            Defaults to ``'threshold'``.
        **options: ``patch_size``, ``reuse``, ``break_even`` and ``hidden``;
            see :meth:`GatedLayer.init_gate`.

    Returns:
        nn.Module: The same module; its class is one composed of its own.

    Raises:
        TypeError: If it is neither, has a part that cannot be gated, or a
            forward that does more than its parts.
        ValueError: If it is gated already, or an option does not suit.

    Examples:
        >>> conv = gate_module(nn.Conv2d(3, 8, 3), 'exact')
        >>> conv.gate
        ExactGate(patch_size=(8, 8), threshold=0.0)
    """
    kind = type(module).__name__
    if isinstance(module, GatedLayer):
        raise ValueError(f'{kind} is gated already')
    if isinstance(module, nn.Conv2d):
        mixin, channels = GatedConvMixin, module.in_channels
    elif is_residual_block(module):
        mixin, channels = GatedBlockMixin, module.conv1.in_channels
    elif is_inverted_residual(module):
        mixin = GatedInvertedMixin
        first = module.conv_pw if hasattr(module, 'conv_pwl') else None
        channels = (first or module.conv_dw).in_channels
    else:
        raise TypeError(f'a gate takes a Conv2d or a block, got {kind}')
    names = {*OPTIONS, *vars(GatedLayer)} - {*dir(nn.Module), *dir(Composed)}
    taken = sorted(name for name in names if hasattr(module, name))
    if taken:
        raise TypeError(f'a gate would replace {taken} of {kind}')
    compose(module, mixin)
    try:
        module.init_gate(gate, channels, **options)
    except (TypeError, ValueError):
        module.stock()
        raise
    return module


@checked
def apply_patch_gates(
    model: nn.Module,
    gate='threshold',
    place: str = 'block',
    patch_size: Union[int, Tuple[int, int], Callable] = 8,
    stem: bool = True,
    rules: Sequence = (),
    **options,
) -> nn.Module:
    """Put gates on the residual blocks or on all convolutions, in place.

    Names and values of the model's parameters stay; gates with parameters
    add theirs. :func:`gated_layers` names what was gated.

    Args:
        model (nn.Module): The model, before its optimizer is made.
        gate (str | dict): See :func:`build_gate`; one gate is built per
            layer. Defaults to ``'threshold'``.
        place (str): ``'block'`` puts each (inverted) residual block behind
            one gate;
            ``'conv'`` puts one on every convolution. Defaults to ``'block'``.
        patch_size (int | tuple[int, int] | Callable): Of the input of a
            layer, in pixels of that input; or a function that returns it for
            the name of a layer. Defaults to 8.
        stem (bool): With ``'block'``, whether the first convolution of a
            ResNet is fused with its norm, activation and pooling; its patch
            is four times ``patch_size``; and whether the first and the last
            convolution of timm's EfficientNets get gates. Defaults to True.
        rules (Sequence): Of layers that differ: ``(pattern, 'skip')`` leaves
            a layer dense, ``(pattern, 'gate', options)`` changes any of
            ``gate``, ``patch_size``, ``reuse``, ``break_even`` and
            ``hidden``. Dicts ``dict(pattern=..., action=..., **options)``
            do, too. A pattern is a shell pattern of the name of a layer,
            ``'re:...'``, ``'type:...'`` (its class or a base) or a function
            of name and module; the first rule that matches decides. Layers
            without a rule are gated. Defaults to ().
        **options: Of all layers: ``reuse``, ``break_even`` and ``hidden``;
            see :meth:`GatedLayer.init_gate`.

    Returns:
        nn.Module: The same model.

    Raises:
        TypeError: If a layer cannot be gated; skip it by a rule.
        ValueError: If nothing was gated, a rule matches no layer, or an
            option is not allowed. The model is then as it was.

    Examples:
        >>> from mask_plugins.core.patches import gated_layers
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
        >>> model = apply_patch_gates(
        ...     model, 'exact', place='conv', rules=[('0', 'skip')]
        ... )
        >>> list(gated_layers(model))
        ['1']
        >>> type(remove_patch_gates(model)[1]).__name__
        'Conv2d'
    """
    check_choice('place', place, ('block', 'conv'))
    parsed = parse_rules(rules, ('gate', 'skip')) if len(rules) else []
    targets = _targets(model, place, stem)
    for rule in parsed:
        for name in rule.options:
            allowed = (*OPTIONS, 'patch_size')
            check_choice(f'an option of the rule {rule}', name, allowed)
        if not any(matches(rule.pattern, name, m, m) for name, m in targets):
            names = [name for name, _ in targets]
            raise ValueError(f'the rule {rule} matches none of {names}')
    count = 0
    try:
        for name, module in targets:
            at = name, module, module
            fit = (rule for rule in parsed if matches(rule.pattern, *at))
            rule = next(fit, NO_RULE)
            if rule.action == 'skip':
                continue
            size = patch_size(name) if callable(patch_size) else patch_size
            size = check_pair('patch_size', size, single=True)
            put = gate_module
            if is_stem(module):
                put, size = add_stem, tuple(4 * side for side in size)
            both = dict(options, gate=gate, patch_size=size)
            try:
                put(module, **{**both, **rule.options})
            except (TypeError, ValueError) as error:
                raise type(error)(f'{name}: {error}') from error
            count += 1
        if not count:
            raise ValueError(f'no layer to gate with {place=}, {rules=}')
    except (TypeError, ValueError):
        remove_patch_gates(model)
        raise
    return model


def _targets(
    model: nn.Module, place: str, stem: bool
) -> List[Tuple[str, nn.Module]]:
    """Names and modules that could get a gate; a stem as its network."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, GatedLayer):
            raise ValueError(f'{name or "the model"} is gated already')
        if place == 'conv':
            wanted = isinstance(module, nn.Conv2d)
        else:
            kinds = (is_residual_block, is_inverted_residual)
            wanted = any(kind(module) for kind in kinds)
        if wanted:
            found.append((name, module))
        elif place == 'block' and stem and is_stem(module):
            found.append((f'{name}.conv1'.lstrip('.'), module))
        elif stem and name.rpartition('.')[2] in OUTER_CONVS:
            found.append((name, module))
    return found


def remove_patch_gates(model: nn.Module) -> nn.Module:
    """Take all gates off again, in place: classes are the stock ones.

    Args:
        model (nn.Module): With or without gates.

    Returns:
        nn.Module: The same model.

    Examples:
        >>> conv = gate_module(nn.Conv2d(3, 8, 3))
        >>> type(remove_patch_gates(conv)) is nn.Conv2d
        True
    """
    for module in list(model.modules()):
        if isinstance(module, GatedLayer):
            module.stock()
        if type(module) is GatedConv2d:
            module.__class__ = nn.Conv2d
    return model
