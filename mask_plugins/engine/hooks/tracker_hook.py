# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The same run in the tracker, however often it was stopped."""

import hashlib
import os
import os.path as osp
from typing import Any, Dict, Optional

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_choice, check_type
from mask_plugins.utils.files import to_json

from ..tracking import TRACKERS, TrackedRun, TrackerRecord

SWEEP_VARIABLE = 'MASK_PLUGINS_SWEEP'
# Of a config: what differs between a first start and a resume.
_START = ('load_from', 'resume')


@HOOKS.register_module()
class TrackerHook(Hook):
    """Log to wandb, MLflow, TensorBoard or Neptune, as one run.

    A run that was stopped, preempted or killed and starts again in its
    work_dir continues the same run of the tracker. Its id is in
    ``tracker_<name>.json`` in the work_dir before the first value is logged,
    and so are the steps that were logged: the iterations after a checkpoint,
    which a resumed run repeats, are not logged twice. A new run in the same
    folder is a new run of the tracker.

    Take it in place of an entry in ``visualizer.vis_backends``: that begins
    before it is known whether the run resumes.

    Args:
        backend (dict): A backend of mmengine: ``WandbVisBackend``,
            ``MLflowVisBackend``, ``TensorboardVisBackend`` or
            ``NeptuneVisBackend``, with its arguments. What says which run it
            is, and how it resumes, is set here.
        group (str, optional): Name of the runs that belong together (wandb:
            ``group``; MLflow: the tag ``group``; Neptune: a group tag).
            Defaults to the name of the sweep that started the run.

    Raises:
        ValueError: If the backend is none of these, or the visualizer of the
            run has the same one.

    Examples:
        >>> hook = dict(
        ...     type='mask_plugins.TrackerHook',
        ...     backend=dict(
        ...         type='WandbVisBackend', init_kwargs=dict(project='digits')
        ...     ),
        ... )
        >>> HOOKS.build(hook).name
        'WandbVisBackend'
    """

    def __init__(
        self, backend: Dict[str, Any], group: Optional[str] = None
    ) -> None:
        check_type('backend', backend, dict, 'the config of a backend')
        name = str(backend.get('type')).rpartition('.')[2]
        self.name = check_choice('backend.type', name, tuple(TRACKERS))
        self.backend = backend
        self.group = group or os.environ.get(SWEEP_VARIABLE)
        self._run: Optional[TrackedRun] = None

    def before_train(self, runner: Runner) -> None:
        """Begin or continue; here it is known which."""
        if not is_main_process():
            return
        backends = runner.visualizer._vis_backends
        if self.name in backends:
            raise ValueError(
                f'visualizer.vis_backends has a {self.name} too, which would '
                'begin a run at each start: remove it there'
            )
        digest = _digest(runner.cfg)
        path = osp.join(
            runner.work_dir,
            f'tracker_{self.name.replace("VisBackend", "").lower()}.json',
        )
        record = self._record(runner, path, digest)
        known = record is not None
        self._run = TRACKERS[self.name](
            self.backend,
            record or TrackerRecord(path, digest),
            runner.work_dir,
            self.group,
        )
        continues = self._run.begin(runner.cfg, known)
        verb = 'continues' if continues else 'begins'
        runner.logger.info(
            f'{self.name}: {verb} the run {self._run.record.id}'
        )
        backends[self.name] = self._run

    def _record(
        self, runner: Runner, path: str, digest: str
    ) -> Optional[TrackerRecord]:
        """The record to continue, None for a new run."""
        try:
            record = TrackerRecord.read(path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            runner.logger.warning(f'{error}; a new run begins.')
            return None
        # Killed before its first checkpoint, a run begins again, equally.
        again = record.config == digest and not record.ended
        return record if runner.iter > 0 or again else None

    def after_train(self, runner: Runner) -> None:
        """Note that the run is complete; LoggerHook closes it."""
        if self._run is not None:
            self._run.end()


def _digest(config: Config) -> str:
    """What tells whether two runs train the same."""
    values = {k: v for k, v in config.to_dict().items() if k not in _START}
    text = to_json(_plain(values))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """The value as JSON has it; what has no form there, as text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    plain = isinstance(value, (str, int, float, bool)) or value is None
    return value if plain else repr(value)
