# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masked weights: merge, export, sizes, overlaps, stock checkpoints."""
