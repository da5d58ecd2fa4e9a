# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
# ruff: noqa: F401  (what it imports is what it exports)
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
