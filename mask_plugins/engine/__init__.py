# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What happens over time? Hooks, schedules and parameter schedulers."""

from . import hooks, loops, optimizers, schedules  # noqa: F401  (register)
