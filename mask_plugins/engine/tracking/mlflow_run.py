# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""MLflow."""

import logging
import os.path as osp
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from .tracked_run import TrackedRun

_MARK = 'mask_plugins.config'


class MLflowRun(TrackedRun):
    """One run of MLflow, by the id that its store gave it.

    A record whose run the store does not have, or has of another config, is
    not believed: a new run begins.
    """

    def _open(self, known: bool) -> bool:
        options = dict(self.backend)
        name = options.pop('run_name', None) or self.name
        tags = dict(options.pop('tags', None) or {})
        params = options.pop('params', None)
        if self.group:
            tags.setdefault('group', self.group)
        tags[_MARK] = self.record.config
        # They would begin a run before it is known which.
        self.backend = options
        self._build(osp.join(self._save_dir, 'mlruns'))
        self._mlflow = self.inner.experiment
        self._known = known and self._is_ours()
        if self._known:
            self._mlflow.start_run(run_id=self.record.id)
            return True
        run = self._mlflow.start_run(run_name=name, tags=tags)
        self.record.id = run.info.run_id
        self.record.steps.clear()
        if params:
            self._mlflow.log_params(params)
        return False

    def _is_ours(self) -> bool:
        try:
            run = self._mlflow.get_run(self.record.id)
        except self._mlflow.exceptions.MlflowException as error:
            found = str(error)
        else:
            found = f'it is {run.info.lifecycle_stage}, of another config'
            mark = run.data.tags.get(_MARK)
            if run.info.lifecycle_stage == 'active':
                if mark == self.record.config:
                    return True
        print_log(
            f'{self.record.path}: the run {self.record.id} cannot be '
            f'continued ({found}); a new one begins.',
            'current',
            logging.WARNING,
        )
        return False

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Log the config; MLflow does not let parameters change."""
        if self._known:
            self.inner.cfg = config
        else:
            self.inner.add_config(config, **kwargs)

    def close(self) -> None:
        """End the run for now, or for good."""
        if self.inner is not None:
            super().close()
            if not self.record.ended:
                client = self._mlflow.MlflowClient()
                client.set_terminated(self.record.id, 'KILLED')
