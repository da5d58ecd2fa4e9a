# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masks of any module by scores, as the authors' package offers them."""

from .inits import (
    default_scores_init,
    magnitude_scores_init,
    normal_scores_init,
    positive_scores_init,
)
from .masked_linear import MaskedLinear
from .submasked_model import SubmaskedModel

__all__ = [
    'MaskedLinear',
    'SubmaskedModel',
    'default_scores_init',
    'magnitude_scores_init',
    'normal_scores_init',
    'positive_scores_init',
]
