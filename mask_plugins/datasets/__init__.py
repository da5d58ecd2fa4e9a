# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is fed? Datasets and transforms."""

from . import samplers, transforms  # noqa: F401  (they register)
from .digits import Digits
from .image_folder import ImageFolder

__all__ = ['Digits', 'ImageFolder']
