# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""TensorBoard."""

import os.path as osp
from typing import Any, Dict

from .tracked_run import TrackedRun


class TensorboardRun(TrackedRun):
    """One folder of event files: ``tensorboard/<id>`` in the work_dir."""

    def _open(self, known: bool) -> bool:
        self._build(osp.join(self._save_dir, 'tensorboard', self.record.id))
        return known

    def _log(self, scalars: Dict[str, Any], step: int) -> None:
        super()._log(scalars, step)
        # Not held back for minutes: the record says that it was logged.
        self.inner._tensorboard.flush()
