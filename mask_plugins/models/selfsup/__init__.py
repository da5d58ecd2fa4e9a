# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Models that learn without labels."""

from mask_plugins.models.missing import HAS_MMPRETRAIN, register_missing

__all__ = ['PASSPretrainer', 'SwAV']

if HAS_MMPRETRAIN:
    from .pass_pretrainer import PASSPretrainer
    from .swav import SwAV
else:
    register_missing(__all__)
    __all__ = []
