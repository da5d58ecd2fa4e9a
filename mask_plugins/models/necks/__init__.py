# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
# ruff: noqa: F401  (what it imports is what it exports)
"""Necks."""

from .adaptive_average_pooling import AdaptiveAveragePooling
from .max_avg_pooling import MaxAvgPooling
from .projection_neck import ProjectionNeck
