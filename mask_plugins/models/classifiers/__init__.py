# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Classifiers."""

from mask_plugins.models.missing import HAS_MMPRETRAIN, register_missing

__all__ = [
    'CascadeClassifier',
    'ImageEmbedder',
    'ReferenceClassifier',
    'StreamClassifier',
]

if HAS_MMPRETRAIN:
    from .cascade_classifier import CascadeClassifier
    from .image_embedder import ImageEmbedder
    from .reference_classifier import ReferenceClassifier
    from .stream_classifier import StreamClassifier
else:
    register_missing(__all__)
