# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Models that give targets."""

from mask_plugins.models.missing import HAS_MMPRETRAIN, register_missing

from .base import ReferenceTeacher
from .ema_teacher import EMATeacher
from .frozen_teacher import FrozenTeacher
from .snapshot_teacher import SnapshotTeacher
from .task_teacher import TaskTeacher
from .teacher_owner import TeacherOwner

__all__ = [
    'EMATeacher',
    'FrozenTeacher',
    'ReferenceTeacher',
    'SnapshotTeacher',
    'TaskTeacher',
    'TeacherOwner',
]

if HAS_MMPRETRAIN:
    from .ensemble_teacher import EnsembleTeacher
    from .network import Network

    __all__ += ['EnsembleTeacher', 'Network']
else:
    register_missing(['EnsembleTeacher'])
