# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Backbones."""

from mask_plugins.models.missing import HAS_MMPRETRAIN, register_missing

__all__ = [
    'CIFARResNet',
    'GatedResNet',
    'PSSVisionTransformer',
    'StemResNetCIFAR',
]

if HAS_MMPRETRAIN:
    from .cifar_resnet import CIFARResNet
    from .gated_resnet import GatedResNet
    from .pss_vit import PSSVisionTransformer
    from .stem_resnet_cifar import StemResNetCIFAR
    from .token_sampler import apply_token_sampling, remove_token_sampling

    __all__ += ['apply_token_sampling', 'remove_token_sampling']
else:
    register_missing([*__all__, 'TokenSampler'])
