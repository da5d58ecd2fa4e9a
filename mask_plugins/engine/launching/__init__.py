# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What happens before a run: config, processes, signals, wall time."""
