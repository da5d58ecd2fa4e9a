# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
# ruff: noqa: F401  (what it imports is what it exports)
"""In which order are samples fed?"""

from .draw import Draw
from .draw_sampler import DrawSampler
from .m_per_class_sampler import MPerClassSampler
from .passes import (
    budget_sampler_of,
    first_step,
    full_length,
    locate_step,
    position_of,
)
from .resumable_batch_sampler import ResumableBatchSampler, skip_batches
from .task_sampler import TaskSampler
from .token_budget_sampler import TokenBudgetSampler
