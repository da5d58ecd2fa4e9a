# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The API of the authors' code for PASS.

Its three parts, over those of :mod:`mask_plugins.core.patches`. The sample in
the README of the original does not run as it is printed; what had to be fixed
is listed in ``configs/pass/README.md``.
"""

from mask_plugins.core.patches import MaskMode, RunningMode

from .mask_gate import MaskGate

__all__ = ['MaskGate', 'MaskMode', 'RunningMode']
