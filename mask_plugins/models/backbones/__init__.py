# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Backbones."""

from .pss_vit import PSSVisionTransformer
from .token_sampler import sample_tokens

__all__ = ['PSSVisionTransformer', 'sample_tokens']
