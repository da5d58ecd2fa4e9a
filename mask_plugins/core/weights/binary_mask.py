# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A finished mask: bits that are not trained any more."""

from typing import Any, Dict

import torch
from torch import Tensor

from .scores import binary_masked_weight
from .weight_mask import WeightMask

KINDS = ('score', 'soft', 'flip')


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
        self.kind = kind
        self.factor = factor
        self.scale = scale
        self.chunks = chunks
        on = on.to(weight.device, torch.bool)
        # Restored from its adapter, not from a checkpoint of the base.
        self.register_buffer('on', on, persistent=False)

    def masked(self, weight: Tensor) -> Tensor:
        """See :class:`WeightMask`."""
        if self.kind == 'flip':
            return torch.where(self.on, weight, -weight)
        return binary_masked_weight(
            weight, self.on, self.scale, self.chunks, self.factor
        )

    def hard(self) -> Tensor:
        """See :class:`WeightMask`."""
        return self.on

    def settings(self) -> Dict[str, Any]:
        """See :class:`WeightMask`."""
        return dict(
            kind=self.kind,
            factor=self.factor,
            scale=self.scale,
            chunks=self.chunks,
        )
