# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Transforms, one per file."""

from .seed_sample import SeedSample

__all__ = ['SeedSample']
