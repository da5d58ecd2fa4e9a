# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The API of the authors' package for Self-Masking Networks."""
