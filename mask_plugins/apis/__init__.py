# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Config in, object out: models, data and features of a config file."""

from mask_plugins import registry  # noqa: F401  (says what is missing)
