# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Layers that place a mask."""

from mask_plugins.core.patches import GatedConv2d
from mask_plugins.core.weights import SoftMaskConv2d, SoftMaskLinear
from mask_plugins.models.missing import HAS_MMPRETRAIN
from mask_plugins.registry import MODELS

for layer in (GatedConv2d, SoftMaskConv2d, SoftMaskLinear):
    MODELS.register_module(module=layer)

__all__ = ['GatedConv2d', 'SoftMaskConv2d', 'SoftMaskLinear']

if HAS_MMPRETRAIN:
    from .pss_attention import PSSAttention
    from .pss_encoder_layer import PSSEncoderLayer

    __all__ += ['PSSAttention', 'PSSEncoderLayer']
