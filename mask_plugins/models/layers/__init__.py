# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Layers that place a mask."""

from .pss_attention import PSSAttention
from .pss_encoder_layer import PSSEncoderLayer

__all__ = ['PSSAttention', 'PSSEncoderLayer']
