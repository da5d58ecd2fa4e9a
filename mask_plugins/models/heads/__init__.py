# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Heads."""

from mask_plugins.models.missing import HAS_MMPRETRAIN, register_missing

__all__ = [
    'ClassIncrementalHead',
    'DropoutLinearClsHead',
    'HardGlobalSoftminHead',
    'MaskedConstantClsHead',
    'MaskedFeatureHead',
    'MaskedLinearClsHead',
    'PMLLossHead',
    'SwAVHead',
    'TextPrototypeClsHead',
]

if HAS_MMPRETRAIN:
    from .class_incremental_head import ClassIncrementalHead
    from .dropout_linear_head import DropoutLinearClsHead
    from .hard_global_softmin_head import HardGlobalSoftminHead
    from .masked_constant_head import MaskedConstantClsHead
    from .masked_feature_head import MaskedFeatureHead
    from .masked_linear_head import MaskedLinearClsHead
    from .pml_loss_head import PMLLossHead
    from .swav_head import SwAVHead
    from .text_prototype_head import TextPrototypeClsHead
else:
    register_missing(__all__)
