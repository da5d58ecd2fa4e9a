# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is looked at? What tools/analysis and tools/weights call, by topic."""

from mask_plugins import registry  # noqa: F401  (says what is missing)
