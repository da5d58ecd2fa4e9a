# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A finished mask: bits that are not trained any more."""

from typing import Any, Dict

import torch
from torch import Tensor

from mask_plugins.utils.checks import (
    check_bool,
    check_choice,
    check_int,
    check_number,
    check_type,
)

from .score_product import binary_masked_weight
from .weight_mask import WeightMask

KINDS = ('score', 'soft', 'flip')
_KEYS = {'shape', 'dtype', 'kind', 'factor', 'scale', 'chunks'}


class BinaryMask(WeightMask):
    """Which weights count, as an adapter file says it.

    Args:
        weight (Tensor): The parameter that is masked.
        on (Tensor): bool, of its shape.
        kind (str): One of :data:`KINDS`, what the mask was trained as;
            ``'flip'`` negates what is off. Defaults to ``'score'``.
        factor (float): Constant factor of what is on. Defaults to 1.
        scale (bool): Multiply by sqrt(N / n). Defaults to False.
        chunks (int): Parts with a scale of their own. Defaults to 1.

    Raises:
        ValueError: If ``on`` has another shape than the weight.

    Examples:
        >>> weight = torch.ones(3)
        >>> BinaryMask(weight, torch.tensor([True, False, True]))(weight)
        tensor([1., 0., 1.])
    """

    def __init__(
        self,
        weight: Tensor,
        on: Tensor,
        kind: str = 'score',
        factor: float = 1.0,
        scale: bool = False,
        chunks: int = 1,
    ) -> None:
        super().__init__()
        if on.shape != weight.shape:
            raise ValueError(
                f'on has the shape {tuple(on.shape)}, but the weight has '
                f'{tuple(weight.shape)}'
            )
        self._options = _checked_options(kind, factor, scale, chunks)
        on = on.to(weight.device, torch.bool)
        # Restored from its adapter, not from a checkpoint of the base.
        self.register_buffer('on', on, persistent=False)

    @torch.no_grad()
    def become(self, on: Tensor, options: Dict[str, Any]) -> None:
        """Take over other bits and settings of the same weight, in place."""
        self.on.copy_(on)
        self._options = _checked_options(**options)

    def masked(self, weight: Tensor) -> Tensor:
        """See :class:`WeightMask`."""
        options = dict(self._options)
        if options.pop('kind') == 'flip':
            return torch.where(self.on, weight, -weight)
        return binary_masked_weight(weight, self.on, **options)

    def hard(self) -> Tensor:
        """See :class:`WeightMask`."""
        return self.on

    def settings(self) -> Dict[str, Any]:
        """See :class:`WeightMask`."""
        return dict(self._options)


def _checked_options(
    kind: str, factor: float, scale: bool, chunks: int
) -> Dict[str, Any]:
    return dict(
        kind=check_choice('kind', kind, KINDS),
        factor=check_number('factor', factor),
        scale=check_bool('scale', scale),
        chunks=check_int('chunks', chunks, low=1),
    )


def check_settings(settings: Dict[str, Any]) -> None:
    """Raise unless the settings of a mask, as a file has them, make sense.

    Args:
        settings (dict): ``shape`` and ``dtype`` of the weight, and the
            arguments of :class:`BinaryMask`.

    Raises:
        TypeError: If a value is of another type.
        ValueError: If keys are missing or unknown, or a value is out of range
            or does not fit the shape.
    """
    check_type('settings', settings, dict, 'a dict')
    if set(settings) != _KEYS:
        raise ValueError(f'settings are {sorted(settings)}, not {_KEYS}')
    shape = check_type('shape', settings['shape'], list, 'a list')
    for length in shape:
        check_int('a length of the shape', length, 0, 2**40)
    check_type('dtype', settings['dtype'], str, 'a name')
    check_choice('kind', settings['kind'], KINDS)
    check_number('factor', settings['factor'], 0, 1e30, '(]')
    check_bool('scale', settings['scale'])
    chunks = check_int('chunks', settings['chunks'], low=1)
    if (shape[0] if shape else 1) % chunks:
        raise ValueError(f'chunks={chunks} does not divide {shape}')
