# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Schedules: pure functions ``value(t)`` of the global iteration.

Every quantity that changes over training (token drop ratio, temperature,
pruning threshold, teacher momentum, ...) is one of these. They hold no
counter, so a resumed run needs no state to continue them.
"""

from .base import Schedule
from .constant import ConstantSchedule
from .cosine import CosineSchedule
from .cyclic import CyclicSchedule
from .exponential import ExponentialSchedule
from .linear import LinearSchedule
from .quantum import quantize
from .step import StepSchedule

__all__ = [
    'ConstantSchedule',
    'CosineSchedule',
    'CyclicSchedule',
    'ExponentialSchedule',
    'LinearSchedule',
    'Schedule',
    'StepSchedule',
    'quantize',
]
