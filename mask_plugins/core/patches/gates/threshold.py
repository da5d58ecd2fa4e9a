# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gates that compute what has changed enough."""

from typing import Optional

from torch import Tensor

from mask_plugins.utils.checks import (
    check_bool,
    check_choice,
    check_int,
    check_number,
)

from ..patch_difference import REDUCTIONS
from .base import Gate


class ThresholdGate(Gate):
    """Patches that have changed by more than a threshold are active.

    A window with a NaN or an infinity is active: no comparison with it holds.

    Args:
        threshold (float): Not negative. Defaults to 0.1.
        reduction (str): ``'mean'`` or ``'max'`` of the absolute change over a
            window. Defaults to ``'mean'``.
        relative (bool): Whether the threshold is a fraction of the mean
            magnitude of the map, so that one suits layers of any scale.
            Defaults to True.
        sample_channels (int, optional): Compare only so many channels, the
            first ones, whose order means nothing in a trained network, and
            keep only those as references. Not with ``reuse='input'``.
            Defaults to None: all.
        **kwargs: Of :class:`Gate`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If the threshold is negative or not finite, the reduction
            unknown or ``sample_channels`` below 1.

    Examples:
        >>> import torch
        >>> x = torch.ones(1, 3, 16, 16)
        >>> changed = x.clone()
        >>> changed[..., :8, :8] += 1
        >>> ThresholdGate(threshold=0.1)(changed, x)
        tensor([[[ True, False],
                 [False, False]]])
    """

    shown = ('threshold',)

    def __init__(
        self,
        threshold: float = 0.1,
        reduction: str = 'mean',
        relative: bool = True,
        sample_channels: Optional[int] = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.threshold = check_number('threshold', threshold, 0)
        self.reduction = check_choice('reduction', reduction, REDUCTIONS)
        self.relative = check_bool('relative', relative)
        self.sample_channels = check_int(
            'sample_channels', sample_channels, 1, optional=True
        )

    def decide(self, scores: Tensor) -> Tensor:
        """Not below the threshold: see :meth:`Gate.decide`."""
        return (scores <= self.threshold).logical_not_()
