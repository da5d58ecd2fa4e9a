# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Models that learn without labels."""

from mask_plugins.models.missing import HAS_MMPRETRAIN, register_missing

if HAS_MMPRETRAIN:
    from .pass_pretrainer import PASSPretrainer

    __all__ = ['PASSPretrainer']
else:
    register_missing(['PASSPretrainer'])
