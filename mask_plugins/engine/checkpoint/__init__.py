# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is written to disk during a run, and how a run resumes from it."""
