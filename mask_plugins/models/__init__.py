# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What can a config name? Registered backbones, layers and wrappers."""

from . import backbones, layers, masked_model  # noqa: F401  (they register)
