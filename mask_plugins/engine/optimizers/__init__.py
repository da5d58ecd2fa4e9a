# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Parameter schedulers."""

from .warmup_cosine_lr import WarmupCosineLR

__all__ = ['WarmupCosineLR']
