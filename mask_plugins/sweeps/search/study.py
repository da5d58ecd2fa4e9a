# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The trials of a search, in optuna's journal, shared by its workers."""

import contextlib
import hashlib
import os
import os.path as osp
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional

from mask_plugins.utils.openmmlab import imports_for

from ..manifest import Manifest, SweepRun, write_manifest
from ..options import without_marks
from ..slurm_options import SlurmOptions
from .asha import continues
from .spec import SearchSpec
from .trial_record import TrialRecord

JOURNAL = 'journal.log'
WAIT = 'wait'


class Claimed(NamedTuple):
    """A trial that this worker has.

    Args:
        number (int): Its number.
        run (SweepRun): Its run.
        record (TrialRecord): Says that it is this worker's.
    """

    number: int
    run: SweepRun
    record: TrialRecord


class Search:
    """The shared state of a search.

    Workers on any nodes may use one folder at a time. Whoever takes a trial
    holds a lock for as long as that takes, and first takes those whose worker
    is gone. The sampler is seeded by the seed of the search and the number of
    the trial, so that one worker draws the same trials however often it was
    killed.

    Args:
        folder (str): The folder of the search.
        spec (SearchSpec): What it is.

    Raises:
        ImportError: If optuna is not installed.
    """

    def __init__(self, folder: str, spec: SearchSpec) -> None:
        with imports_for('a search'):
            import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import (
            JournalFileBackend,
            JournalFileOpenLock,
        )

        self.folder, self.spec = osp.abspath(folder), spec
        self._optuna = optuna
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        path = osp.join(self.folder, JOURNAL)
        os.makedirs(self.folder, exist_ok=True)
        self._journal_lock = JournalFileOpenLock(path)
        self._lock = JournalFileOpenLock(osp.join(self.folder, 'claim'))
        self._records: Dict[int, TrialRecord] = {}
        self._repair(path)
        backend = JournalFileBackend(path, lock_obj=self._journal_lock)
        with _held(self._lock):
            self.study = optuna.create_study(
                storage=JournalStorage(backend),
                study_name=spec.name,
                direction=spec.direction,
                load_if_exists=True,
            )

    def _repair(self, path: str) -> None:
        """Cut a line that a full disk or a crash has left incomplete."""
        with _held(self._journal_lock), contextlib.suppress(FileNotFoundError):
            with open(path, 'rb+') as file:
                whole = file.read().rfind(b'\n') + 1
                if whole < file.tell():
                    file.truncate(whole)

    # ------------------------------------------------------------------ take
    def take(self) -> Any:
        """A trial to train, old ones without a worker first.

        Returns:
            Claimed | str | None: ``WAIT`` if it is not known yet whether the
            worker of some trial is gone; None if nothing is left to do.
        """
        with _held(self._lock):
            trials = self.trials()
            unknown = False
            for trial in trials:
                if trial.state.is_finished():
                    continue
                free = self._record(trial.number).is_free()
                unknown |= free is None
                if free:
                    return self._claim(trial.number)
            if len(trials) >= self.spec.trials:
                return WAIT if unknown else None
            # As a trial takes its relative parameters from it, too.
            self.study.sampler = self._sampler(len(trials), '')
            trial = self.study.ask()
            return self._claim(trial.number)

    def _claim(self, number: int) -> Claimed:
        run = self._run(number, self._draw(number))
        record = self._record(number)
        keys = {axis.key.lstrip('+') for axis in self.spec.space}
        params = {k: v for k, v in run.overrides.items() if k in keys}
        record.claim(run.name, params)
        write_manifest(self.manifest())
        return Claimed(number, run, record)

    def _run(self, number: int, drawn: Dict[str, Any]) -> SweepRun:
        spec, name = self.spec, f'trial-{number:04}'
        overrides = {**spec.base, **without_marks(drawn)}
        return SweepRun(number, name, spec.config, overrides, spec.epochs)

    def _draw(self, number: int) -> Dict[str, Any]:
        """The settings of a trial; those that it has are not drawn again."""
        self.study.sampler = self._sampler(number, '')
        trial = self._trial(number)
        # Before single ones: optuna does so at the first that is drawn.
        _ = trial.relative_params
        drawn = {}
        for axis in self.spec.space:
            self.study.sampler = self._sampler(number, axis.key)
            drawn[axis.key] = axis.suggest(trial)
        return drawn

    def _sampler(self, number: int, key: str) -> Any:
        text = f'{self.spec.seed} {number} {key}'
        digest = hashlib.sha256(text.encode()).digest()
        seed = int.from_bytes(digest[:4], 'little')
        samplers = self._optuna.samplers
        if self.spec.sampler == 'random':
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(
            seed=seed, n_startup_trials=self.spec.startup
        )

    def _record(self, number: int) -> TrialRecord:
        made = TrialRecord(self.folder, number)
        return self._records.setdefault(number, made)

    # ---------------------------------------------------------------- report
    def trials(self) -> List[Any]:
        """All trials, in the order of their number, as optuna has them."""
        return self.study.get_trials(deepcopy=False)

    def _trial(self, number: int) -> Any:
        """A trial to write to, whoever began it."""
        trial_id = self.trials()[number]._trial_id
        return self._optuna.trial.Trial(self.study, trial_id)

    def report(self, number: int, values: Mapping[int, float]) -> None:
        """Report the metric after each epoch; what is known stays."""
        known = self.trials()[number].intermediate_values
        trial = self._trial(number)
        for step, value in sorted(values.items()):
            if step not in known:
                trial.report(value, step)

    def continues(self, number: int, rung: int) -> bool:
        """Whether a trial continues after an epoch; said once and for all."""
        key = f'epoch {rung}'
        trial = self.trials()[number]
        if key in trial.user_attrs:
            return trial.user_attrs[key] == 'continues'
        reported = {
            other.number: other.intermediate_values[rung]
            for other in self.trials()
            if rung in other.intermediate_values
        }
        value = reported.pop(number, None)
        good = value is not None and continues(
            value,
            list(reported.values()),
            self.spec.asha[1],
            self.spec.direction,
        )
        said = 'continues' if good else 'ends'
        self._trial(number).set_user_attr(key, said)
        return good

    def finish(self, number: int, state: str, value: Optional[float]) -> None:
        """Say how a trial ended.

        Args:
            number (int): The trial.
            state (str): 'COMPLETE', 'PRUNED' or 'FAIL'.
            value (float, optional): Of a complete one.
        """
        state = self._optuna.trial.TrialState[state]
        value = value if state.name == 'COMPLETE' else None
        self.study.tell(number, value, state=state, skip_if_finished=True)

    def manifest(self) -> Manifest:
        """The runs so far, for `status`, `collect` and `prune`."""
        runs = [self._run(t.number, t.params) for t in self.trials()]
        return Manifest(self.folder, self.spec.name, runs, SlurmOptions())


@contextlib.contextmanager
def _held(lock: Any) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        # Another worker may have broken the lock of one that was stopped.
        with contextlib.suppress(RuntimeError):
            lock.release()
