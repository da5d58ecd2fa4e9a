# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How fast is it, and how much memory does it take? A file per benchmark."""

from mask_plugins import registry  # noqa: F401  (says what is missing)
