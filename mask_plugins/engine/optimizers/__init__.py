# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Parameter schedulers."""

from .stagewise_multi_step_lr import StagewiseMultiStepLR
from .warmup_cosine_lr import WarmupCosineLR

__all__ = ['StagewiseMultiStepLR', 'WarmupCosineLR']
