# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What can a config name? Registered backbones, heads, layers, wrappers."""

from . import backbones, heads, layers, losses, masked_model  # noqa: F401
