# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What makes a resumed run draw the same numbers."""
