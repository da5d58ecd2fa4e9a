# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""In which order are samples fed?"""

from .draw import Draw
from .draw_sampler import DrawSampler
from .resumable_batch_sampler import ResumableBatchSampler, skip_batches

__all__ = ['Draw', 'DrawSampler', 'ResumableBatchSampler', 'skip_batches']
