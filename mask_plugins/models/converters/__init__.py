# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
# ruff: noqa: F401  (what it imports is what it exports)
"""Weights of the original repositories, under our names.

Needs torch only: nothing here builds a model of mmpretrain.
"""

from .clip import convert_clip, text_tower_weights
from .efficientnet_lite import convert_efficientnet_lite0, packaged_weights
from .files import read_weights, take_weights, write_checkpoint
from .resnet import convert_resnet
from .vit import Conversion, convert_deit, convert_simmim
