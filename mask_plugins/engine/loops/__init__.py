# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
# ruff: noqa: F401  (what it imports is what it exports)
"""Training loops, and loops over several data sets."""

from .continual_train_loop import ContinualTrainLoop
from .multi_set_test_loop import MultiSetTestLoop
from .multi_set_val_loop import MultiSetValLoop
from .resumable_train_loop import ResumableEpochBasedTrainLoop
from .selfsup_test_loop import SelfSupTestLoop
from .selfsup_val_loop import SelfSupValLoop
