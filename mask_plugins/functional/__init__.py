# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is computed from tensors without a mask? Torch and numpy only."""
