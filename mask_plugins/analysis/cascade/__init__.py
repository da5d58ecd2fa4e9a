# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A cascade of masked models: dispatcher, clusters, experts, combination."""
