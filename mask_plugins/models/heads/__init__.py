# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Heads."""

from mask_plugins.models.missing import HAS_MMPRETRAIN, register_missing

if HAS_MMPRETRAIN:
    from .masked_constant_head import MaskedConstantClsHead
    from .masked_linear_head import MaskedLinearClsHead
    from .text_prototype_head import TextPrototypeClsHead

    __all__ = [
        'MaskedConstantClsHead',
        'MaskedLinearClsHead',
        'TextPrototypeClsHead',
    ]
else:
    register_missing(
        [
            'MaskedConstantClsHead',
            'MaskedLinearClsHead',
            'TextPrototypeClsHead',
        ]
    )
