# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Losses."""

from .distillation_loss import DistillationLoss
from .logit_loss import LogitLoss, build_logit_loss

__all__ = ['DistillationLoss', 'LogitLoss', 'build_logit_loss']
