# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Checkpoints that load safely, survive a kill, and resume exactly."""

import hashlib
import os.path as osp
import pickle
from typing import Any, Dict, List, Optional, Set

from mmengine.dist import broadcast_object_list, is_main_process, master_only
from mmengine.fileio import HardDiskBackend, LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner, save_checkpoint
from mmengine.runner.checkpoint import _load_checkpoint

from mask_plugins.engine.atomic_backend import (
    ATOMIC,
    AtomicLocalBackend,
    remove_leftovers,
)
from mask_plugins.engine.plain_checkpoint import equal, from_plain, to_plain
from mask_plugins.engine.remove_later_backend import RemoveLaterBackend
from mask_plugins.engine.resume import (
    LAST_VALIDATED,
    check_named_checkpoint,
    choose_checkpoint,
    inside_epoch,
    owes_validation,
)
from mask_plugins.registry import HOOKS

# Key in the message hub: steps whose checkpoints this one makes superfluous.
_OUTDATED = 'outdated_ckpt_ids'


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
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

    Args:
        *args: See :class:`mmengine.hooks.CheckpointHook`; every option of it
            works.
        **kwargs: The same.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._configured_out_dir = self.out_dir
        self._warned: Set[str] = set()

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
        self.last_ckpt = runner.message_hub.get_info('last_ckpt')
        if inside_epoch(runner):
            runner.logger.warning(
                f'{type(self).__name__}: the checkpoint was saved inside '
                f'epoch {runner.epoch + 1} (iteration {runner.iter}), and the '
                'epoch loop starts that epoch again from its first batch: the '
                'run will differ from an uninterrupted one. Save with '
                'by_epoch=True, or train with IterBasedTrainLoop.'
            )
        if owes_validation(runner):
            runner.logger.info(
                f'The run ended before its validation at iteration '
                f'{runner.iter}: making up for it.'
            )
            runner.val_loop.run()

    def _use_atomic_backend(self, runner: Runner) -> None:
        if self.file_client_args == dict(backend='disk'):
            self.file_client_args = None
            self.backend_args = dict(backend=ATOMIC)
        if self.file_client_args is None:
            backend = get_file_backend(
                self.out_dir or runner.work_dir, backend_args=self.backend_args
            )
            if type(backend) in (LocalBackend, HardDiskBackend):
                self.backend_args = dict(backend=ATOMIC)
                return
            if isinstance(backend, AtomicLocalBackend):
                return
        self._warn(
            runner,
            f'checkpoints go to {self.out_dir}, which is not the local '
            'backend: they are written plainly, and a kill while saving may '
            'leave a truncated one. Auto-resume does not check them',
        )

    def _clean_up(self, runner: Runner) -> None:
        """Finish what a kill has interrupted."""
        folders = [runner.work_dir]
        if isinstance(self.file_backend, LocalBackend):
            folders.append(str(self.out_dir))
        for folder in dict.fromkeys(folders):
            for path in remove_leftovers(folder):
                runner.logger.info(f'removed {path}, left by a killed run')
        # Steps, not paths: a copied folder must not reach into the original.
        for step in runner.message_hub.get_info(_OUTDATED, []):
            self._remove(self._path(step))

    # ------------------------------------------------------- what to resume
    def _choose(self, runner: Runner) -> list:
        """``_resume`` and ``_load_from`` as they should be."""
        resume, load_from = runner._resume, runner._load_from
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
        # mmengine compares pickles, which differ for equal objects.
        if runner._resume and 'dataset_meta' in checkpoint.get('meta', {}):
            live = getattr(runner.train_dataloader.dataset, 'metainfo', None)
            if equal(live, checkpoint['meta']['dataset_meta']):
                checkpoint['meta']['dataset_meta'] = live

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: dict
    ) -> None:
        outdated: List[int] = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated.append(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info(
                'keep_ckpt_ids', list(self.keep_ckpt_ids)
            )
            runner.message_hub.update_info(_OUTDATED, list(outdated))

        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self._path(step)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        AtomicLocalBackend().put_text(
            str(self.last_ckpt), osp.join(runner.work_dir, 'last_checkpoint')
        )
        for old in outdated:
            self._remove(self._path(old))

    # ----------------------------------------------------------- validation
    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, Any]] = None
    ) -> None:
        """Note that this validation was made, then save the best."""
        if not hasattr(self, 'file_backend'):
            return  # `runner.val()`: no training, nothing to save
        runner.message_hub.update_info(LAST_VALIDATED, runner.iter)
        super().after_val_epoch(runner, metrics or {})

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save the best as mmengine does, but remove the old one last."""
        backend = self.file_backend
        self.file_backend = RemoveLaterBackend(backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
            paths = self.file_backend.paths
        finally:
            self.file_backend = backend
        info = runner.message_hub.runtime_info
        current = {v for k, v in info.items() if k.startswith('best_ckpt')}
        for path in paths:
            # A folder that was copied must not reach into the original.
            if path not in current and osp.dirname(path) == str(self.out_dir):
                self._remove(path)

    @master_only
    def _publish_model(self, runner: Runner, ckpt_path: str) -> None:
        if not ckpt_path or not self.file_backend.exists(ckpt_path):
            return
        checkpoint = _load_checkpoint(ckpt_path, map_location='cpu')
        removed = [key for key in checkpoint if key not in self.published_keys]
        for key in removed:
            checkpoint.pop(key)
        if removed:
            runner.logger.info(
                f'Keys {removed} are not in published_keys and are left out '
                'of the published model.'
            )
        sha = hashlib.sha256(pickle.dumps(checkpoint)).hexdigest()
        final_path = osp.splitext(ckpt_path)[0] + f'-{sha[:8]}.pth'
        save_checkpoint(
            checkpoint,
            final_path,
            file_client_args=self.file_client_args,
            backend_args=self.backend_args,
        )
        runner.logger.info(f'{ckpt_path} is published to {final_path}.')

    # ---------------------------------------------------------------- parts
    def _path(self, step: int) -> str:
        name = self.filename_tmpl.format(step)
        return self.file_backend.join_path(self.out_dir, name)

    @master_only
    def _remove(self, path: str) -> None:
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # DeepSpeed's are folders
            self.file_backend.rmtree(path)

    def _warn(self, runner: Runner, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            runner.logger.warning(f'{type(self).__name__}: {message}.')
