# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Necks."""

from .adaptive_average_pooling import AdaptiveAveragePooling
from .max_avg_pooling import MaxAvgPooling
from .projection_neck import ProjectionNeck

__all__ = ['AdaptiveAveragePooling', 'MaxAvgPooling', 'ProjectionNeck']
