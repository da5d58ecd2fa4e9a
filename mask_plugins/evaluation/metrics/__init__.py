# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Metrics."""

from .mask_density import EVALUATED_MASKS, MaskDensity

__all__ = ['EVALUATED_MASKS', 'MaskDensity']
