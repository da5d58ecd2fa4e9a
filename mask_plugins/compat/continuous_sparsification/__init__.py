# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The API of the authors' code for Continuous Sparsification."""

from .masked_net import MaskedNet
from .soft_masked_conv2d import SoftMaskedConv2d

__all__ = ['MaskedNet', 'SoftMaskedConv2d']
