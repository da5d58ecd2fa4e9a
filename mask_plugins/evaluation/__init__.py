# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What does an evaluator name? Metrics, one per file."""
