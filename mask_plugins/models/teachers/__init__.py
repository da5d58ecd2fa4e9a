# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Models that give targets."""

from mask_plugins.models.missing import HAS_MMPRETRAIN, register_missing

__all__ = ['EMATeacher', 'EnsembleTeacher', 'SnapshotTeacher', 'TaskTeacher']

if HAS_MMPRETRAIN:
    from .base import ReferenceTeacher
    from .ema_teacher import EMATeacher
    from .ensemble_teacher import EnsembleTeacher
    from .network import Network
    from .snapshot_teacher import SnapshotTeacher
    from .task_teacher import TaskTeacher

    __all__ += ['Network', 'ReferenceTeacher']
else:
    register_missing(__all__)
