# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
# ruff: noqa: F401  (what it imports is what it exports)
"""What is fed? Datasets, parts of them, and transforms."""

from mask_plugins import registry  # says what is missing

from . import samplers, transforms  # they register
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
