# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a gated layer costs at a share of active patches."""

from typing import Dict, NamedTuple, Sequence

import numpy as np


class LayerCost(NamedTuple):
    """Seconds of one layer on one frame, on this machine.

    Args:
        dense (float): Of the dense layer.
        gate (float): Of deciding.
        fixed (float): Of the sparse layer with no active patch.
        slope (float): More per share of active patches.

    Examples:
        >>> cost = LayerCost(dense=1.0, gate=0.1, fixed=0.2, slope=1.6)
        >>> cost.break_even, round(cost.seconds(0.25), 3)
        (0.5, 0.7)
    """

    dense: float
    gate: float
    fixed: float
    slope: float

    @classmethod
    def fit(
        cls,
        dense: float,
        gate: float,
        shares: Sequence[float],
        seconds: Sequence[float],
    ) -> 'LayerCost':
        """A line through measurements of the sparse layer, without its gate.

        Relative errors count alike, so that the many active patches, which
        take longest, do not bend the line where few are.

        Args:
            dense (float): Seconds of the dense layer.
            gate (float): Seconds of deciding.
            shares (Sequence[float]): Shares of active patches, two or more.
            seconds (Sequence[float]): Of the sparse layer at those.

        Raises:
            ValueError: If there are fewer than two different shares.
        """
        x, y = np.asarray(shares, float), np.asarray(seconds, float)
        if len(set(x.tolist())) < 2:
            raise ValueError(f'shares must be two different, got {shares}')
        slope, fixed = np.polyfit(x, y, 1, w=1 / y)
        return cls(dense, gate, max(0.0, float(fixed)), float(slope))

    @property
    def break_even(self) -> float:
        """Share of active patches below which the sparse layer is faster.

        In [0, 1]; the gate is paid for either way, as it has decided by then.
        """
        if self.slope <= 0:
            return 1.0 if self.fixed < self.dense else 0.0
        return min(1.0, max(0.0, (self.dense - self.fixed) / self.slope))

    def seconds(self, active: float) -> float:
        """Of one frame, where the faster of dense and sparse is taken.

        Args:
            active (float): Share of active patches, in [0, 1].
        """
        return self.gate + min(self.dense, self.fixed + self.slope * active)

    def as_dict(self) -> Dict[str, float]:
        """In milliseconds, with the break-even, as it is saved."""
        found = {f'{k}_ms': 1000 * v for k, v in self._asdict().items()}
        return dict(found, break_even=self.break_even)
