# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One run in an experiment tracker, however often it was stopped."""

from .mlflow_run import MLflowRun
from .neptune_run import NeptuneRun
from .tensorboard_run import TensorboardRun
from .tracked_run import TrackedRun
from .tracker_record import TrackerRecord
from .wandb_run import WandbRun

# By the type of mmengine's backend.
TRACKERS = dict(
    MLflowVisBackend=MLflowRun,
    NeptuneVisBackend=NeptuneRun,
    TensorboardVisBackend=TensorboardRun,
    WandbVisBackend=WandbRun,
)

__all__ = ['TRACKERS', 'TrackedRun', 'TrackerRecord']
