# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What happens over time? Hooks, loops, optimizers and their schedules."""

from mask_plugins.core import schedules
from mask_plugins.registry import SCHEDULES

from . import hooks, loops, optimizers  # noqa: F401  (register)

# The schedules of the core, by name for configs: core/ knows no registry.
for _name in schedules.__all__:
    _object = getattr(schedules, _name)
    if isinstance(_object, type) and _object is not schedules.Schedule:
        SCHEDULES.register_module(module=_object)
