# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Leaves that every floor may import: checks, files, timing, progress."""
