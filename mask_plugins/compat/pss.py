# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Schedules and method names of the original PSS code.

McDanel & Huynh, arXiv:2208.09520. The schedules reproduce the original to the
last bit: its float expressions and their ties, its clip to [0, 1], and its
overshoot past ``total``. A config that names one imports this module:
``custom_imports=dict(imports=['mask_plugins.compat.pss'])``.
"""

import math

from mask_plugins.core.schedules import CyclicSchedule, Schedule
from mask_plugins.models.backbones import PSSVisionTransformer
from mask_plugins.registry import SCHEDULES


class _OriginalSchedule(Schedule):
    """Clip and round :meth:`raw` as the original does; ``t`` is not clamped.

    Args: see :class:`mask_plugins.core.schedules.Schedule`; the original
        has no ``plateau`` and writes ``end=-0.1`` instead.
    """

    @property
    def bounds(self):
        """The least and the greatest value, which are within [0, 1]."""
        return tuple(min(max(value, 0.0), 1.0) for value in super().bounds)

    def value(self, t: int) -> float:
        """The original's value at iteration ``t``."""
        raw = min(max(self.raw(t), 0.0), 1.0)
        if not self.quantum:
            return raw
        levels = 1 / self.quantum  # the original's 5, for 0.2
        return round(raw * levels) / levels

    def raw(self, t: int) -> float:
        """The original's float expression."""
        return self.mix(t / self.total, self.start, self.end)


@SCHEDULES.register_module()
class OriginalLinearSchedule(_OriginalSchedule):
    """The original's ``linear``; with equal ends its ``fixed``.

    Examples:
        >>> schedule = OriginalLinearSchedule(0.8, -0.1, total=10, quantum=0.2)
        >>> [schedule.value(t) for t in (0, 5, 10, 100)]
        [0.8, 0.4, 0.0, 0.0]
    """


@SCHEDULES.register_module()
class OriginalCosineSchedule(_OriginalSchedule):
    """The original's ``cosine``.

    Examples:
        >>> OriginalCosineSchedule(0.8, 0.0, total=10, quantum=0.2).value(5)
        0.4
    """

    def raw(self, t: int) -> float:
        """The original's float expression."""
        if t == 0:
            return self.start
        if t >= self.total - 1:
            return self.end
        cosine = 1 + math.cos(math.pi * t / self.total)
        return self.end + (self.start - self.end) * cosine / 2


@SCHEDULES.register_module()
class OriginalCyclicSchedule(_OriginalSchedule, CyclicSchedule):
    """The original's ``cyclic``.

    Examples:
        >>> schedule = OriginalCyclicSchedule(0.8, -0.1, quantum=0.2)
        >>> [schedule.resolve(20, 4).value(t) for t in range(5)]
        [0.8, 0.4, 0.0, 0.4, 0.8]
    """

    def raw(self, t: int) -> float:
        """The original's float expression."""
        if t > self.total - 1:
            return 0.0
        u = t % self.period
        share = (u if u <= self.period // 2 else self.period - u) / (
            self.period / 2
        )
        return self.mix(share, self.start, self.end)


class PatchSamplingTransformer(PSSVisionTransformer):
    """:class:`mask_plugins.PSSVisionTransformer` with the original's methods.

    Examples:
        >>> arch = dict(embed_dims=8, num_layers=1, num_heads=2,
        ...             feedforward_channels=8)
        >>> model = PatchSamplingTransformer(arch, img_size=8, patch_size=4)
        >>> model.set_patch_drop_ratio(0.5)
        >>> model.drop_ratio
        0.5
    """

    def set_patch_drop_ratio(self, drop_ratio: float) -> None:
        """Set ``drop_ratio``."""
        self.drop_ratio = drop_ratio

    def set_patch_drop_func(self, scorer: str) -> None:
        """Set ``scorer``."""
        self.scorer = scorer
