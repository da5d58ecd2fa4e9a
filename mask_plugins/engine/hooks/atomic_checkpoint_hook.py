# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Write checkpoints so that neither a kill nor a full disk loses one."""

import copy
import hashlib
import os.path as osp
import pickle
from typing import Any, Dict, List, Optional, Sequence, Set

from mmengine.dist import is_main_process, master_only
from mmengine.fileio import HardDiskBackend, LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner, save_checkpoint
from mmengine.runner.checkpoint import _load_checkpoint

from ..checkpoint.atomic_backend import ATOMIC, AtomicLocalBackend
from ..checkpoint.disk_space import free_space, is_full, readable_size, size_of
from ..checkpoint.keep_policy import KeepPolicy
from ..checkpoint.remove_later_backend import RemoveLaterBackend

# Keys in the message hub: names of the checkpoints that this one makes
# superfluous, and of the one that was saved out of turn.
OUTDATED = 'outdated_ckpts'
OUT_OF_TURN = 'out_of_turn_ckpt'


class AtomicCheckpointHook(CheckpointHook):
    """How ``SafeCheckpointHook`` writes, and what it removes.

    Args:
        *args: See :class:`mmengine.hooks.CheckpointHook`.
        keep (str): See ``SafeCheckpointHook``. Defaults to ''.
        **kwargs: As ``args``.

    Attributes:
        saved_iter (int): Iterations behind the newest checkpoint; on rank 0.
    """

    def __init__(self, *args, keep: str = '', **kwargs) -> None:
        self._keep = KeepPolicy.parse(keep) if keep else None
        if self._keep and self._keep.best and not kwargs.get('save_best'):
            kwargs['save_best'] = 'auto'
        super().__init__(*args, **kwargs)
        if self._keep and self.max_keep_ckpts > 0:
            raise ValueError(
                f'keep={keep!r} and max_keep_ckpts={self.max_keep_ckpts} both '
                "say which checkpoints stay: set one of them ('newest:N' of "
                'keep is max_keep_ckpts)'
            )
        self._warned: Set[str] = set()
        self._not_saved = ''
        self.saved_iter = -1

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

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: dict
    ) -> None:
        """Save in turn, then remove what that makes superfluous."""
        hub = runner.message_hub
        before = dict(hub.runtime_info)
        ids = [i for i in hub.get_info('keep_ckpt_ids', []) if i != step]
        outdated: List[int] = []
        if self._keep is not None:
            outdated = self._keep.outdated([*ids, step])
        elif self.max_keep_ckpts > 0:
            outdated = [*ids, step][: -self.max_keep_ckpts]
        if self._keep is not None or self.max_keep_ckpts > 0:
            kept = [i for i in [*ids, step] if i not in outdated]
            hub.update_info('keep_ckpt_ids', kept)
        names = [self.filename_tmpl.format(i) for i in outdated]
        hub.update_info(OUT_OF_TURN, '')
        self._save(
            runner, self.filename_tmpl.format(step), meta, names, before
        )

    def save_now(self, runner: Runner) -> str:
        """Save after a training iteration, whether or not it is time to.

        The next checkpoint that is saved in turn removes this one.

        Args:
            runner (Runner): In ``after_train_iter``, on all ranks.

        Returns:
            str: '', or on rank 0 why it could not be saved: the disk is full.
        """
        step = runner.iter + 1
        if self.saved_iter == step:
            return ''
        hub = runner.message_hub
        before = dict(hub.runtime_info)
        name = f'iter_{step}.pth'
        hub.update_info(OUT_OF_TURN, name)
        meta = dict(epoch=runner.epoch, iter=step)
        self._save(runner, name, meta, [], before)
        return self._not_saved

    def _save(
        self,
        runner: Runner,
        name: str,
        meta: dict,
        outdated: Sequence[str],
        before: Dict[str, Any],
    ) -> None:
        """Write one checkpoint; if there is no room, it never happened."""
        hub, last = runner.message_hub, self.last_ckpt
        # One that was saved out of turn has had its time.
        outdated = [*outdated, before.get(OUT_OF_TURN)]
        outdated = [old for old in outdated if old and old != name]
        hub.update_info(OUTDATED, outdated)
        self.last_ckpt = self._path(name)
        hub.update_info('last_ckpt', self.last_ckpt)
        self._not_saved = ''
        try:
            runner.save_checkpoint(
                self.out_dir,
                name,
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
            if is_main_process():
                AtomicLocalBackend().put_text(
                    str(self.last_ckpt),
                    osp.join(runner.work_dir, 'last_checkpoint'),
                )
        except OSError as error:
            self._not_saved = self._no_room(runner, error, last)
            self.last_ckpt = last
            hub.runtime_info.clear()
            hub.runtime_info.update(before)
            return
        self.saved_iter = meta['iter']
        for old in outdated if is_main_process() else ():
            self._remove(runner, self._path(old))

    def _no_room(
        self, runner: Runner, error: OSError, last: Optional[str]
    ) -> str:
        """Say that the disk is full; raise what is another error."""
        if not is_full(error):
            raise error
        kept = f'{last} is kept' if last else 'There is none before it'
        message = (
            f'no room for a checkpoint: {error}. {kept}. '
            f'{free_space(runner.work_dir)} are free there; a quota may allow '
            "less. Free some, or keep fewer checkpoints (keep='newest:1')"
        )
        runner.logger.error(f'{type(self).__name__}: {message}.')
        return message

    def after_train(self, runner: Runner) -> None:
        """Publish; stop with an error if the end of the run is not saved."""
        if self._not_saved:
            raise OSError(
                f'the last checkpoint of the run is missing: {self._not_saved}'
            )
        super().after_train(runner)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save the best as mmengine does, but remove the old one last."""
        backend, info = self.file_backend, runner.message_hub.runtime_info
        before, best = dict(info), copy.deepcopy(self._best())
        self.file_backend = RemoveLaterBackend(backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
            paths = self.file_backend.paths
        except OSError as error:
            self._no_room(runner, error, 'The best before it')
            info.clear()
            info.update(before)
            vars(self).update(best)
            paths = []
        finally:
            self.file_backend = backend
        current = {v for k, v in info.items() if k.startswith('best_ckpt')}
        for path in paths:
            # A folder that was copied must not reach into the original.
            if path not in current and osp.dirname(path) == str(self.out_dir):
                self._remove(runner, path)

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
    def _best(self) -> Dict[str, Any]:
        names = ('best_ckpt_path', 'best_ckpt_path_dict')
        return {k: v for k, v in vars(self).items() if k in names}

    def _path(self, name: str) -> str:
        return self.file_backend.join_path(self.out_dir, name)

    @master_only
    def _remove(self, runner: Runner, path: str) -> None:
        local = isinstance(self.file_backend, LocalBackend)
        size = readable_size(size_of(path)) if local else 'its size'
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # DeepSpeed's are folders
            self.file_backend.rmtree(path)
        else:
            return
        runner.logger.info(f'removed {path}: {size} freed')

    def _warn(self, runner: Runner, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            runner.logger.warning(f'{type(self).__name__}: {message}.')
