# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Losses."""

from .distillation_loss import DistillationLoss
from .feature_loss import FeatureLoss, capture_maps
from .logit_loss import LogitLoss, build_logit_loss
from .old_classes_loss import OldClassesLoss
from .pass_loss import PASSLoss
from .swav_loss import SwAVLoss

__all__ = [
    'DistillationLoss',
    'FeatureLoss',
    'LogitLoss',
    'OldClassesLoss',
    'PASSLoss',
    'SwAVLoss',
    'build_logit_loss',
    'capture_maps',
]
