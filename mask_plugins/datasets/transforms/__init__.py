# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Transforms, one per file."""

from .each_frame import EachFrame
from .pack_clip import PackClip
from .seed_sample import SeedSample

__all__ = ['EachFrame', 'PackClip', 'SeedSample']
