# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Features of a trained model: probes, projections, image search."""
