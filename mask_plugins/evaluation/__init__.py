# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What does an evaluator name? Metrics, one per file."""

from mask_plugins import registry  # noqa: F401  (says what is missing)
