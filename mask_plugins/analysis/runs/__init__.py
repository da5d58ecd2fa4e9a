# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Logs of finished and running trainings: read, compare, tabulate."""
