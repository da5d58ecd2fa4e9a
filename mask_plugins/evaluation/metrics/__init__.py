# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Metrics."""

from .mask_density import EVALUATED_MASKS, MaskDensity
from .retrieval_metrics import RetrievalMetrics
from .task_accuracy import EVALUATED_TASKS, TaskAccuracy

__all__ = [
    'EVALUATED_MASKS',
    'EVALUATED_TASKS',
    'MaskDensity',
    'RetrievalMetrics',
    'TaskAccuracy',
]
