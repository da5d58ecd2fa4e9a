# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Many runs of one recipe: plan, submit, watch and collect them."""

from mask_plugins import registry  # noqa: F401  (says what is missing)

from .grid import read_spec
from .manifest import Manifest, SweepRun, make_manifest, read_manifest
from .slurm_options import SlurmOptions

__all__ = [
    'Manifest',
    'SlurmOptions',
    'SweepRun',
    'make_manifest',
    'read_manifest',
    'read_spec',
]
