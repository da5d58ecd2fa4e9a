# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
# ruff: noqa: F401  (what it imports is what it exports)
"""Transforms, one per file."""

from .each_frame import EachFrame
from .pack_clip import PackClip
from .seed_sample import SeedSample
