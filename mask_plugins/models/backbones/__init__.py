# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Backbones."""

from mask_plugins.models.missing import HAS_MMPRETRAIN, register_missing

if HAS_MMPRETRAIN:
    from .pss_vit import PSSVisionTransformer
    from .token_sampler import sample_tokens

    __all__ = ['PSSVisionTransformer', 'sample_tokens']
else:
    register_missing(['PSSVisionTransformer', 'TokenSampler'])
