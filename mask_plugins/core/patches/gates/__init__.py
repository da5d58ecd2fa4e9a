# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gates: which patches are computed."""

from .base import Gate
from .build import GATES, build_gate
from .constant import ConstantGate
from .convmixer import ConvMixerGate
from .exact import ExactGate
from .learned import LearnedGate
from .pooled import PooledDifferenceGate
from .random import RandomGate
from .threshold import ThresholdGate
from .topk import TopKGate

__all__ = [
    'GATES',
    'ConstantGate',
    'ConvMixerGate',
    'ExactGate',
    'Gate',
    'LearnedGate',
    'PooledDifferenceGate',
    'RandomGate',
    'ThresholdGate',
    'TopKGate',
    'build_gate',
]
