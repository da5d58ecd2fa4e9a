# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Optimizers, their parameter groups, and parameter schedulers."""

from .mask_optim_wrapper_constructor import MaskOptimWrapperConstructor
from .sgd_constant_decay import SGDConstantDecay
from .stagewise_multi_step_lr import StagewiseMultiStepLR
from .taskwise_multi_step_lr import TaskwiseMultiStepLR
from .warmup_cosine_lr import WarmupCosineLR

__all__ = [
    'MaskOptimWrapperConstructor',
    'SGDConstantDecay',
    'StagewiseMultiStepLR',
    'TaskwiseMultiStepLR',
    'WarmupCosineLR',
]
