# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Checkpoints that load safely, survive a kill, and resume exactly."""

import os.path as osp
from typing import Any, Dict, List, Optional

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.fileio import LocalBackend
from mmengine.runner import Runner

from mask_plugins.engine.loops import ResumableEpochBasedTrainLoop
from mask_plugins.registry import HOOKS
from mask_plugins.utils.files import remove_leftovers

from ..checkpoint.plain_checkpoint import equal, from_plain, to_plain
from ..checkpoint.resume import (
    LAST_VALIDATED,
    check_named_checkpoint,
    choose_checkpoint,
    inside_epoch,
    owes_validation,
)
from ..checkpoint.run_state import is_resumable
from .atomic_checkpoint_hook import OUTDATED, AtomicCheckpointHook

# In a checkpoint's meta: batches of the epoch trained, and its length.
_POSITION = 'epoch_position'


@HOOKS.register_module()
class SafeCheckpointHook(AtomicCheckpointHook):
    """mmengine's CheckpointHook, made safe to load, to kill and to resume.

    - What it writes loads with ``torch.load(weights_only=True)``, and a
      resumed run has its log history back, value for value. Objects that
      cannot be made plain are left out with a warning that names them.
    - Files are written under another name and renamed, ``last_checkpoint``
      too; old checkpoints (``max_keep_ckpts``, the previous best) go only
      when the new one is in place. Storage that is not local is written
      plainly, with one warning.
    - Auto-resume checks the newest checkpoint, and takes the one before it
      if that is damaged.
    - A validation that was due when the run was killed is made up on resume,
      the best checkpoint included.
    - Where a disk is full or a quota used up, the checkpoint before stays,
      the log says so, and training goes on; it is an error only if the last
      checkpoint of the run could not be written.
    - A run that ``mask_plugins.PreemptionHook`` stopped is resumed by the
      next start in its folder, without ``resume=True``.

    Args:
        *args: See :class:`mmengine.hooks.CheckpointHook`; every option of it
            works.
        keep (str): Which checkpoints stay, in place of ``max_keep_ckpts``:
            'newest:2,best,every:10' keeps the newest two, the best
            (``save_best`` is 'auto' then, if it is not set) and every tenth.
            Defaults to '', all.
        **kwargs: The same.

    Attributes:
        saved_iter (int): Iterations behind the newest checkpoint; on rank 0.

    Raises:
        ValueError: If ``keep`` cannot be read, or ``max_keep_ckpts`` is set
            too.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._configured_out_dir = self.out_dir

    # ---------------------------------------------------------------- start
    def before_run(self, runner: Runner) -> None:
        """Decide on what to load; rank 0 looks, all ranks do the same."""
        if runner._has_loaded:
            return
        decision = [None, None, None]
        if is_main_process():
            try:
                decision = [*self._choose(runner), None]
            except Exception as error:
                decision = [None, None, error]
        broadcast_object_list(decision)
        resume, load_from, error = decision
        if error is not None:
            raise error
        runner._resume, runner._load_from = resume, load_from

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder, then make up an owed validation."""
        # mmengine's before_train turns out_dir into the run's own folder.
        self.out_dir = self._configured_out_dir
        self._use_atomic_backend(runner)
        super().before_train(runner)
        if is_main_process():
            self._clean_up(runner)
        if runner.iter == 0:
            return
        self.saved_iter = runner.iter
        self.last_ckpt = runner.message_hub.get_info('last_ckpt')
        if inside_epoch(runner):
            runner.logger.warning(
                f'{type(self).__name__}: the checkpoint was saved inside '
                f'epoch {runner.epoch + 1} (iteration {runner.iter}), and '
                f'{type(runner.train_loop).__name__} starts that epoch again '
                'from its first batch: the run will differ from an '
                'uninterrupted one. Add mask_plugins.PreemptionHook, or train '
                "with type='mask_plugins.ResumableEpochBasedTrainLoop'."
            )
        if owes_validation(runner):
            runner.logger.info(
                f'The run ended before its validation at iteration '
                f'{runner.iter}: making up for it.'
            )
            runner.val_loop.run()

    def _clean_up(self, runner: Runner) -> None:
        """Finish what a kill has interrupted."""
        folders = [runner.work_dir]
        if isinstance(self.file_backend, LocalBackend):
            folders.append(str(self.out_dir))
        for folder in dict.fromkeys(folders):
            for path in remove_leftovers(folder):
                runner.logger.info(f'removed {path}, left by a killed run')
        # Names, not paths: a copied folder must not reach into the original.
        for name in runner.message_hub.get_info(OUTDATED, []):
            self._remove(runner, self._path(name))

    # ------------------------------------------------------- what to resume
    def _choose(self, runner: Runner) -> list:
        """``_resume`` and ``_load_from`` as they should be."""
        resume, load_from = runner._resume, runner._load_from
        if not resume and is_resumable(runner.work_dir):
            runner.logger.info(
                f'{runner.work_dir} holds a run that was preempted: resuming '
                'it. To begin anew, remove its run_state.json or take another '
                'work_dir.'
            )
            resume, load_from = True, None
        if load_from is not None:
            check_named_checkpoint(str(load_from))
        if load_from is not None or not resume:
            return [resume, load_from]
        choice = choose_checkpoint(
            runner.work_dir, self._folders(runner), self.filename_tmpl
        )
        if choice.warning:
            runner.logger.warning(f'{type(self).__name__}: {choice.warning}')
        return [choice.resume, choice.load_from]

    def _folders(self, runner: Runner) -> List[str]:
        """The run's folder for checkpoints, before mmengine works it out."""
        out_dir = self._configured_out_dir
        if out_dir is None or out_dir == runner.work_dir:
            return [runner.work_dir]
        if '://' in str(out_dir):
            return []
        name = osp.basename(runner.work_dir.rstrip(osp.sep))
        return [osp.join(out_dir, name)]

    # -------------------------------------------------------- save and load
    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn everything plain; hooks before this one have added theirs."""
        loop, meta = runner.train_loop, checkpoint['meta']
        if isinstance(loop, ResumableEpochBasedTrainLoop):
            done = loop.position(meta['epoch'], meta['iter'])
            meta[_POSITION] = [done, len(loop.dataloader)]
        for path in to_plain(checkpoint):
            self._warn(
                runner,
                f'{path} cannot be stored in a checkpoint that loads with '
                'weights_only=True and is left out; a resumed run does '
                'without it',
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn it back, before the message hub reads it."""
        from_plain(checkpoint)
        if runner._resume and isinstance(
            runner.train_loop, ResumableEpochBasedTrainLoop
        ):
            runner.train_loop.resume_at(checkpoint['meta'].get(_POSITION))
        # mmengine compares pickles, which differ for equal objects.
        if runner._resume and 'dataset_meta' in checkpoint.get('meta', {}):
            live = getattr(runner.train_dataloader.dataset, 'metainfo', None)
            if equal(live, checkpoint['meta']['dataset_meta']):
                checkpoint['meta']['dataset_meta'] = live

    # ----------------------------------------------------------- validation
    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, Any]] = None
    ) -> None:
        """Note that this validation was made, then save the best."""
        if not hasattr(self, 'file_backend'):
            return  # `runner.val()`: no training, nothing to save
        runner.message_hub.update_info(LAST_VALIDATED, runner.iter)
        super().after_val_epoch(runner, metrics or {})
