# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What tests have in common: one file per topic."""
