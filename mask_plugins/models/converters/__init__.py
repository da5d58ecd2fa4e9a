# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Weights of the original repositories, under our names.

Needs torch only: nothing here builds a model of mmpretrain.
"""

from .clip import convert_clip, text_tower_weights
from .efficientnet_lite import convert_efficientnet_lite0, packaged_weights
from .files import read_weights, take_weights, write_checkpoint
from .resnet import convert_resnet
from .vit import Conversion, convert_deit, convert_simmim

__all__ = [
    'Conversion',
    'convert_clip',
    'convert_deit',
    'convert_efficientnet_lite0',
    'convert_resnet',
    'convert_simmim',
    'packaged_weights',
    'read_weights',
    'take_weights',
    'text_tower_weights',
    'write_checkpoint',
]
