# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A backend of mmengine that continues the run that it began before."""

import logging
import os.path as osp
from typing import Any, Dict, Optional

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import VISBACKENDS
from mmengine.visualization import BaseVisBackend

from .tracker_record import TrackerRecord


class TrackedRun(BaseVisBackend):
    """Log to one of mmengine's backends; what was logged before is left out.

    A resumed run repeats the iterations after its checkpoint. Whatever has
    been logged of them stays as it is.

    Args:
        backend (dict): Config of mmengine's backend.
        record (TrackerRecord): Id and last steps.
        work_dir (str): Folder of the run; its name is that of the run.
        group (str, optional): Name of the runs that belong together.

    Examples:
        >>> from mask_plugins.engine.tracking import TRACKERS
        >>> record = TrackerRecord('runs/a/tracker_wandb.json', 'digest')
        >>> backend = dict(type='WandbVisBackend')
        >>> TRACKERS['WandbVisBackend'](backend, record, 'runs/a').name
        'a'
    """

    def __init__(
        self,
        backend: Dict[str, Any],
        record: TrackerRecord,
        work_dir: str,
        group: Optional[str] = None,
    ) -> None:
        super().__init__(work_dir)
        self.backend = dict(backend)
        self.record = record
        self.group = group
        self.name = osp.basename(osp.abspath(work_dir))
        self.inner: Optional[BaseVisBackend] = None
        self._warned = False

    # ---------------------------------------------------- of each tracker
    def _open(self, known: bool) -> bool:
        """Make ``self.inner``, and begin or continue the run of the record.

        Args:
            known (bool): Whether the run was begun before.

        Returns:
            bool: Whether it continues.
        """
        raise NotImplementedError

    def _log(self, scalars: Dict[str, Any], step: int) -> None:
        """Log values that are new."""
        self.inner.add_scalars(scalars, step)

    def _build(self, save_dir: str, **options: Any) -> None:
        options = dict(self.backend, **options)
        options.setdefault('save_dir', save_dir)
        self.inner = VISBACKENDS.build(options)

    # ------------------------------------------------------------- the run
    def begin(self, config: Config, known: bool) -> bool:
        """Begin the run in the tracker, or continue it.

        The record is on the disk before anything is logged.

        Args:
            config (Config): Of the run.
            known (bool): Whether the record was there.

        Returns:
            bool: Whether it continues.
        """
        continues = self._open(known)
        self.record.ended = False
        self.record.write()
        self._env_initialized = True
        self.add_config(config)
        return continues

    def end(self) -> None:
        """Note that the run is complete."""
        self.record.ended = True
        self._keep(self.record.write)

    def _keep(self, write: Any, *args: Any) -> None:
        """A record that cannot be written does not end the run."""
        try:
            write(*args)
        except OSError as error:
            if not self._warned:
                print_log(
                    f'{error}. After a resume some steps may be logged twice.',
                    'current',
                    logging.WARNING,
                )
            self._warned = True

    # --------------------------------------------------- as mmengine has it
    def _init_env(self) -> None:
        """Nothing is done late: see :meth:`begin`."""

    @property
    def experiment(self) -> Any:
        """What mmengine's backend says."""
        return self.inner.experiment

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Log the config."""
        self.inner.add_config(config, **kwargs)

    def add_graph(self, model: Any, data_batch: Any, **kwargs: Any) -> None:
        """Log the graph of the model."""
        self.inner.add_graph(model, data_batch, **kwargs)

    def add_image(
        self, name: str, image: Any, step: int = 0, **kwargs: Any
    ) -> None:
        """Log an image, if it is new."""
        if self.record.is_new(f'image/{name}', step):
            self.inner.add_image(name, image, step, **kwargs)
            self._keep(self.record.note, [f'image/{name}'], step)

    def add_scalar(
        self, name: str, value: Any, step: int = 0, **kwargs: Any
    ) -> None:
        """Log a value, if it is new."""
        self.add_scalars({name: value}, step)

    def add_scalars(
        self,
        scalar_dict: Dict[str, Any],
        step: int = 0,
        file_path: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        """Log those values that are new."""
        new = {
            name: value
            for name, value in scalar_dict.items()
            if self.record.is_new(name, step)
        }
        if new:
            self._log(new, step)
            self._keep(self.record.note, new, step)

    def close(self) -> None:
        """Close the tracker."""
        if self.inner is not None:
            self.inner.close()
            self.inner = None
