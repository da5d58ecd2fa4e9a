# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Dropped tokens: sweeps of the ratio, kept patches, cost, schedules."""
