# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gated networks on video: calibration, speed and error, sources."""
