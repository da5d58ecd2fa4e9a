# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is fed? Datasets, parts of them, and transforms."""

from . import samplers, transforms  # noqa: F401  (they register)
from .cifar10_1 import CIFAR10_1
from .class_split import ClassSplit
from .class_subset import ClassSubset
from .cluster_subset import ClusterSubset
from .digits import Digits
from .image_folder import ImageFolder
from .stratified_split import StratifiedSplit
from .subset_by_randperm import SubsetByRandperm
from .synthetic_clips import SyntheticClips
from .task_split import TaskSplit
from .video_clips import VideoClips
from .zhou_split_dataset import ZhouSplitDataset

__all__ = [
    'CIFAR10_1',
    'ClassSplit',
    'ClassSubset',
    'ClusterSubset',
    'Digits',
    'ImageFolder',
    'StratifiedSplit',
    'SubsetByRandperm',
    'SyntheticClips',
    'TaskSplit',
    'VideoClips',
    'ZhouSplitDataset',
]
