# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
# ruff: noqa: F401  (what it imports is what it exports)
"""Losses."""

from .distillation_loss import DistillationLoss
from .feature_loss import FeatureLoss, capture_maps
from .logit_loss import LogitLoss, build_logit_loss
from .old_classes_loss import OldClassesLoss
from .pass_loss import PASSLoss
from .swav_loss import SwAVLoss
