# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Hooks, one per file."""

from .channels_last_hook import ChannelsLastHook
from .class_count_hook import ClassCountHook
from .clip_exempt_hook import ClipExemptHook
from .continual_hook import ContinualHook
from .continuous_sparsification_hook import ContinuousSparsificationHook
from .divergence_hook import DivergenceHook
from .feature_hook import FeatureHook
from .lidar_hook import LiDARHook
from .linear_probe_hook import LinearProbeHook
from .mask_report_hook import MaskReportHook
from .norm_eval_hook import NormEvalHook
from .preemption_hook import PreemptionHook
from .progress_hook import ProgressHook
from .pss_hook import PSSHook
from .rankme_hook import RankMeHook
from .running_mode_hook import RunningModeHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .schedule_hook import ScheduleHook
from .seed_hook import SeedHook
from .swav_hook import SwAVHook
from .teacher_hook import TeacherHook
from .tracker_hook import TrackerHook
from .train_log_hook import TrainLogHook

__all__ = [
    'ChannelsLastHook',
    'ClassCountHook',
    'ClipExemptHook',
    'ContinualHook',
    'ContinuousSparsificationHook',
    'DivergenceHook',
    'FeatureHook',
    'LiDARHook',
    'LinearProbeHook',
    'MaskReportHook',
    'NormEvalHook',
    'PSSHook',
    'PreemptionHook',
    'ProgressHook',
    'RankMeHook',
    'RunningModeHook',
    'SafeCheckpointHook',
    'ScheduleHook',
    'SeedHook',
    'SwAVHook',
    'TeacherHook',
    'TrackerHook',
    'TrainLogHook',
]
