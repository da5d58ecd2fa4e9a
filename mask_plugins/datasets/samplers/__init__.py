# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""In which order are samples fed?"""

from .draw import Draw
from .draw_sampler import DrawSampler

__all__ = ['Draw', 'DrawSampler']
