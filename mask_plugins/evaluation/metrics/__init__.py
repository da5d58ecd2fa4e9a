# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Metrics."""

from .feature_metric import (
    EVALUATED_FEATURES,
    EvaluatedFeatures,
    FeatureMetric,
    nan_results,
)
from .knn_accuracy import KNNAccuracy
from .mask_density import EVALUATED_MASKS, MaskDensity
from .rankme import RankMe
from .retrieval_metrics import RetrievalMetrics
from .skip_ratio import SkipRatio
from .task_accuracy import EVALUATED_TASKS, TaskAccuracy

__all__ = [
    'EVALUATED_FEATURES',
    'EVALUATED_MASKS',
    'EVALUATED_TASKS',
    'EvaluatedFeatures',
    'FeatureMetric',
    'KNNAccuracy',
    'MaskDensity',
    'RankMe',
    'RetrievalMetrics',
    'SkipRatio',
    'TaskAccuracy',
    'nan_results',
]
