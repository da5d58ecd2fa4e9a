# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Training loops."""

from .continual_train_loop import ContinualTrainLoop
from .resumable_train_loop import ResumableEpochBasedTrainLoop

__all__ = ['ContinualTrainLoop', 'ResumableEpochBasedTrainLoop']
