# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""In which order are samples fed?"""

from .draw import Draw
from .draw_sampler import DrawSampler
from .resumable_batch_sampler import ResumableBatchSampler, skip_batches
from .task_sampler import TaskSampler

__all__ = [
    'Draw',
    'DrawSampler',
    'ResumableBatchSampler',
    'TaskSampler',
    'skip_batches',
]
