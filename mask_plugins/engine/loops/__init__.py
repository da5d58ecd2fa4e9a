# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Training loops."""

from .resumable_train_loop import ResumableEpochBasedTrainLoop

__all__ = ['ResumableEpochBasedTrainLoop']
