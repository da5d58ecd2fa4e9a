# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gates that compute what has changed enough."""

from typing import Optional

from torch import Tensor

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
        half_reference (bool): Keep references in bfloat16: half the memory,
            and scores that are off by at most 0.4 % of the magnitudes
            compared, far below thresholds of use. Outputs stay as precise as
            they are. Not with ``reuse='input'``, which computes from
            references. Defaults to False.
        sample_channels (int, optional): Compare only so many channels, the
            first ones, whose order means nothing in a trained network, and
            keep only those as references. Not with ``reuse='input'``.
            Defaults to None: all.
        **kwargs: Of :class:`Gate`.

    Raises:
        ValueError: If the threshold is negative, the reduction unknown or
            ``sample_channels`` no positive number.
    """

    def __init__(
        self,
        threshold: float = 0.1,
        reduction: str = 'mean',
        relative: bool = True,
        half_reference: bool = False,
        sample_channels: Optional[int] = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if not threshold >= 0:
            raise ValueError(f'threshold must be >= 0, got {threshold!r}')
        if reduction not in REDUCTIONS:
            raise ValueError(
                f'reduction must be one of {REDUCTIONS}, got {reduction!r}'
            )
        self.threshold = threshold
        self.reduction = reduction
        self.relative = relative
        self.half_reference = half_reference
        number = type(sample_channels) is int and sample_channels >= 1
        if sample_channels is not None and not number:
            raise ValueError(
                'sample_channels must be None or an int >= 1, got '
                f'{sample_channels!r}'
            )
        self.sample_channels = sample_channels

    def decide(self, scores: Tensor) -> Tensor:
        """Not below the threshold: see :meth:`Gate.decide`."""
        return ~(scores <= self.threshold)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return (
            f'{super().extra_repr()}, threshold={self.threshold}, '
            f'reduction={self.reduction!r}, relative={self.relative}'
        )
