# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""An epoch loop that resumes in the middle of an epoch."""

import itertools
from typing import Any, Iterable, Optional, Sequence

from mmengine.runner import EpochBasedTrainLoop

from mask_plugins.datasets.samplers import first_step, skip_batches
from mask_plugins.registry import LOOPS


@LOOPS.register_module()
class ResumableEpochBasedTrainLoop(EpochBasedTrainLoop):
    """mmengine's epoch loop, which can be resumed inside an epoch.

    The stock loop starts an epoch again from its first batch. This one has
    the sampler skip the batches that were trained: they are not loaded. With
    ``mask_plugins.SeedHook`` the rest of the epoch is that of a run that was
    never interrupted. ``mask_plugins.PreemptionHook`` puts this loop in the
    place of a stock one by itself; to have it without that hook, write
    ``train_cfg=dict(type='mask_plugins.ResumableEpochBasedTrainLoop',
    max_epochs=...)``.

    If the number of batches per epoch has changed since the checkpoint, by
    another batch size or number of processes, the same share of the epoch is
    skipped, and a warning says that the run differs from an uninterrupted
    one.

    Args:
        *args: See :class:`mmengine.runner.EpochBasedTrainLoop`.
        **kwargs: The same.

    Examples:
        >>> train_cfg = dict(
        ...     type='mask_plugins.ResumableEpochBasedTrainLoop', max_epochs=3
        ... )
        >>> LOOPS.get(train_cfg['type']).__name__
        'ResumableEpochBasedTrainLoop'
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._begin: Optional[Sequence[int]] = None
        self._saved_at: Optional[Sequence[int]] = None

    @classmethod
    def from_stock(
        cls, loop: EpochBasedTrainLoop
    ) -> 'ResumableEpochBasedTrainLoop':
        """The same loop, resumable; training must not have begun."""
        parts = loop.runner, loop.dataloader, loop.max_epochs, loop.val_begin
        intervals = zip(loop.dynamic_milestones, loop.dynamic_intervals)
        (_, first), *later = intervals
        made = cls(*parts, first, later)
        made._max_iters = loop.max_iters  # PSSHook may have set it
        return made

    def position(self, epoch: int, iteration: int) -> int:
        """How many batches of an epoch a checkpoint has behind it.

        Args:
            epoch (int): Epochs trained, as the checkpoint will have it.
            iteration (int): Iterations trained.
        """
        if self._begin is None or epoch != self._epoch:
            return 0
        first_iteration, skipped = self._begin
        return skipped + iteration - first_iteration

    def resume_at(self, saved_at: Optional[Sequence[int]]) -> None:
        """Say where in its epoch the loaded checkpoint was saved.

        Args:
            saved_at (Sequence[int], optional): Batches trained, and batches
                per epoch then. None, where the checkpoint does not say so,
                leaves it to arithmetic.
        """
        self._saved_at = saved_at

    def batches_done(self) -> int:
        """Batches of the current epoch that a resumed run has trained."""
        length = len(self.dataloader)
        if self._saved_at is not None:
            done, then = self._saved_at
            return done if then == length else done * length // then
        done = self._iter - first_step(self.dataloader, self._epoch)
        # Of an epoch that had another length nothing is known but its end.
        return done if 0 < done <= length else 0

    def run_epoch(self) -> None:
        """Train what is left of the epoch."""
        done, length = self.batches_done(), len(self.dataloader)
        before, then = self._saved_at or (0, length)
        if done and then != length:
            now = f'epoch that now has {length}: {done} are skipped'
            said = f'resumed after {before} of {then} batches of an {now}'
            self.runner.logger.warning(f'{type(self).__name__}: {said}.')
        self._saved_at = [0, length]
        self._begin = (self._iter, done)
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, batch in enumerate(self._batches(done), done):
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
        self._begin = None

    def _batches(self, done: int) -> Iterable[Any]:
        if skip_batches(self.dataloader, done):
            return self.dataloader
        what = 'the dataset cannot be indexed: skipped batches are loaded'
        self.runner.logger.warning(f'{type(self).__name__}: {what}.')
        return itertools.islice(self.dataloader, done, None)
