# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masks of weights: soft ones that are annealed, binary ones from scores.

Functions first (``soft``, ``scores``), then a small module per mask
(``SoftMask``, ``ScoreMask``, ``BinaryMask``), then
:func:`apply_weight_masks`, which puts them on any model.
"""

from ..rules import Rule
from .adapter_file import Adapter, pack_masks, read_adapter, write_adapter
from .adapter_switching import (
    activate_masks,
    active_masks,
    load_masks,
    loaded_masks,
    unload_masks,
)
from .apply_adapters import apply_adapters
from .apply_weight_masks import apply_weight_masks, format_plan
from .binary_mask import BinaryMask
from .combine_adapters import combine_adapters
from .layers import SoftMaskConv2d, SoftMaskLinear
from .lifecycle import (
    collect_sums,
    disable_masks,
    hold_masks,
    merge_masks,
    remove_weight_masks,
    unmerge_masks,
)
from .named_masks import (
    base_state,
    mask_keys,
    named_masks,
    unwrap,
    write_settings,
)
from .report import MaskReport, mask_report
from .score_init import SCORE_INITS
from .score_mask import ScoreMask
from .score_product import score_masked_weight
from .scores import score_mask
from .soft import (
    prune_logits,
    soft_mask,
    soft_masked_weight,
    soft_scale,
    ticket_mask,
)
from .soft_mask import SoftMask
from .ticket import keep_highest, make_ticket
from .two_of_four import (
    is_two_of_four,
    keep_two_of_four,
    to_semi_structured,
)
from .weight_mask import WeightMask

__all__ = [
    'SCORE_INITS',
    'Adapter',
    'BinaryMask',
    'MaskReport',
    'Rule',
    'ScoreMask',
    'SoftMask',
    'SoftMaskConv2d',
    'SoftMaskLinear',
    'WeightMask',
    'activate_masks',
    'active_masks',
    'apply_adapters',
    'apply_weight_masks',
    'base_state',
    'collect_sums',
    'combine_adapters',
    'disable_masks',
    'format_plan',
    'hold_masks',
    'is_two_of_four',
    'keep_highest',
    'keep_two_of_four',
    'load_masks',
    'loaded_masks',
    'make_ticket',
    'mask_keys',
    'mask_report',
    'merge_masks',
    'named_masks',
    'pack_masks',
    'prune_logits',
    'read_adapter',
    'remove_weight_masks',
    'score_mask',
    'score_masked_weight',
    'soft_mask',
    'soft_masked_weight',
    'soft_scale',
    'ticket_mask',
    'to_semi_structured',
    'unload_masks',
    'unmerge_masks',
    'unwrap',
    'write_adapter',
    'write_settings',
]
