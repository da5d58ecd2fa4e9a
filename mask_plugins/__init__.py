# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masks for OpenMMLab: weights, tokens, features and patches.

Importing the package imports neither mmcv nor mmpretrain. Its one side effect
is the line below, which makes ``_base_ = ['mask_plugins::...']`` resolvable:
mmengine refuses the configs of packages that are not in this table.
"""

from mmengine.config.utils import MODULE2PACKAGE

from .version import __version__

MODULE2PACKAGE.setdefault('mask_plugins', 'mask_plugins')

__all__ = ['__version__']
