# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Training loops, and loops over several data sets."""

from .continual_train_loop import ContinualTrainLoop
from .multi_set_test_loop import MultiSetTestLoop
from .multi_set_val_loop import MultiSetValLoop
from .resumable_train_loop import ResumableEpochBasedTrainLoop
from .selfsup_test_loop import SelfSupTestLoop
from .selfsup_val_loop import SelfSupValLoop

__all__ = [
    'ContinualTrainLoop',
    'MultiSetTestLoop',
    'MultiSetValLoop',
    'ResumableEpochBasedTrainLoop',
    'SelfSupTestLoop',
    'SelfSupValLoop',
]
