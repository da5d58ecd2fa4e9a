# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gates: which patches are computed, and how they are made by name."""

import inspect
from functools import partial
from typing import Optional, Union

from mask_plugins.utils.checks import check_choice

from .base import Gate
from .constant import ConstantGate
from .convmixer import ConvMixerGate
from .exact import ExactGate
from .pooled import PooledDifferenceGate
from .random import RandomGate
from .threshold import ThresholdGate
from .topk import TopKGate

GATES = {
    'exact': ExactGate,
    'threshold': ThresholdGate,
    'topk': TopKGate,
    'random': RandomGate,
    'all': partial(ConstantGate, True),
    'none': partial(ConstantGate, False),
    'pooled': PooledDifferenceGate,
    'convmixer': ConvMixerGate,
}

__all__ = ['GATES', 'ConstantGate', 'Gate', 'RandomGate', 'build_gate']


def build_gate(
    gate: Union[str, dict, Gate], channels: Optional[int] = None, **defaults
) -> Gate:
    """A gate from its name, from a dict, or from itself.

    Args:
        gate (str | dict | Gate): A key of ``GATES``, or a dict with such a
            ``type`` and arguments. A gate is returned as it is.
        channels (int, optional): Of the map, for gates that must know.
        **defaults: Arguments that the dict may override.

    Raises:
        TypeError: If it is none of these, or an argument is unknown.
        ValueError: If the name is unknown.

    Examples:
        >>> build_gate(dict(type='threshold', threshold=0.2), patch_size=4)
        ThresholdGate(patch_size=(4, 4), threshold=0.2)
    """
    if isinstance(gate, Gate):
        return gate
    if isinstance(gate, str):
        gate = dict(type=gate)
    if not isinstance(gate, dict) or 'type' not in gate:
        allowed = 'a name, a dict with a type, or a Gate'
        raise TypeError(f'gate must be {allowed}, got {gate!r}')
    options = {**defaults, **gate}
    name = options.pop('type')
    build = GATES[check_choice('the type of a gate', name, sorted(GATES))]
    if 'channels' in inspect.signature(build).parameters:
        options.setdefault('channels', channels)
    # A new module is in training mode; a gate trains when it is told to.
    return build(**options).eval()
