# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How fast is it, and how much memory does it take?"""

from mask_plugins.utils.timing import (
    Case,
    Spread,
    peak_memory,
    time_interleaved,
)

from .pss import PSSBenchmark
from .reference_models import ReferenceModelBenchmark
from .weight_masks import WeightMaskBenchmark

__all__ = [
    'Case',
    'PSSBenchmark',
    'ReferenceModelBenchmark',
    'Spread',
    'WeightMaskBenchmark',
    'peak_memory',
    'time_interleaved',
]
