# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Token masks: score, count, select, gather.

The parts of patch sampling (McDanel & Huynh, arXiv:2208.09520), as functions
of tensors: a score per token says which are kept, a ratio how many, and the
selection is data, a tensor of indices, that the caller may use and invert.

Shapes: B images, P patches, N = prefix + P tokens, C width, n tokens kept
with the prefix, H heads, L relative positions.
"""

from .bias import gather_position_bias
from .budget import budget_batch_size
from .cost import block_macs
from .gate import TokenGate
from .gather import gather_tokens, scatter_tokens
from .relative_position import relative_position_index, select_index_pairs
from .scores import SCORES, score_l2_magnitude, score_magnitude, score_random
from .selection import keep_count, select_tokens

__all__ = [
    'SCORES',
    'TokenGate',
    'block_macs',
    'budget_batch_size',
    'gather_position_bias',
    'gather_tokens',
    'keep_count',
    'relative_position_index',
    'scatter_tokens',
    'score_l2_magnitude',
    'score_magnitude',
    'score_random',
    'select_index_pairs',
    'select_tokens',
]
