# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The schedules of the core, by name for configs."""

from mask_plugins.core import schedules
from mask_plugins.registry import SCHEDULES

for _name in schedules.__all__:
    _object = getattr(schedules, _name)
    if isinstance(_object, type) and _object is not schedules.Schedule:
        SCHEDULES.register_module(module=_object)
