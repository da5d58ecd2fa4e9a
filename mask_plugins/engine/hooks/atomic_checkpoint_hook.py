# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Write checkpoints so that neither a kill nor a full disk loses one."""

import math
import os.path as osp
import re
from typing import Any, Dict, List, Optional, Set

from mmengine.dist import is_main_process, master_only
from mmengine.fileio import HardDiskBackend, LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mask_plugins.functional.finite import non_finite
from mask_plugins.utils.files import write_atomically

from ..checkpoint.atomic_backend import ATOMIC, AtomicLocalBackend
from ..checkpoint.disk_space import free_space, is_full, readable_size
from ..checkpoint.keep_policy import KeepPolicy
from ..checkpoint.own_checkpoints import MARK, own_checkpoint
from ..checkpoint.shared_buffers import gather_buffers, sync_buffers


class AtomicCheckpointHook(CheckpointHook):
    """How ``SafeCheckpointHook`` writes, and what it removes.

    What to remove is known from the names that this process wrote and from
    ``own_checkpoints``, never from what a loaded file says.

    Args:
        *args: See :class:`mmengine.hooks.CheckpointHook`.
        keep (str): See ``SafeCheckpointHook``. Defaults to ''.
        **kwargs: As ``args``.

    Attributes:
        saved_iter (int): Iterations behind the newest checkpoint; on rank 0.
    """

    def __init__(self, *args, keep: str = '', **kwargs) -> None:
        policy = KeepPolicy.parse(keep) if keep else None
        if policy and policy.best and not kwargs.get('save_best'):
            kwargs['save_best'] = 'auto'
        super().__init__(*args, **kwargs)
        if policy and self.max_keep_ckpts > 0:
            raise ValueError(f'keep={keep!r}, max_keep_ckpts: set one of them')
        if self.max_keep_ckpts > 0:
            policy = KeepPolicy(newest=self.max_keep_ckpts)
        tmpl = self.filename_tmpl
        if not re.fullmatch(r'[^/{}]*{[^/{}]*}[^/{}]*', tmpl):
            raise ValueError(f'filename_tmpl must be one name, got {tmpl!r}')
        self._keep = policy
        self._warned: Set[str] = set()
        self._not_saved: Optional[Exception] = None
        # Of this run: steps of checkpoints, the name of the one that was
        # saved out of turn, and the best by key indicator.
        self._steps: List[int] = []
        self._out_of_turn = ''
        self._bests: Dict[str, str] = {}
        self.saved_iter = -1

    def _use_atomic_backend(self, runner: Runner) -> None:
        if self.file_client_args == dict(backend='disk'):
            self.file_client_args = None
            self.backend_args = dict(backend=ATOMIC)
        backend, folder = None, self.out_dir or runner.work_dir
        if self.file_client_args is None:
            backend = get_file_backend(folder, backend_args=self.backend_args)
        if type(backend) in (LocalBackend, HardDiskBackend):
            self.backend_args = dict(backend=ATOMIC)
        elif not isinstance(backend, AtomicLocalBackend):
            what = 'written plainly, and auto-resume does not check them'
            self._warn(runner, f'checkpoints in {folder} are {what}')

    # ----------------------------------------------------- moments to be equal
    def before_val(self, runner: Runner) -> None:
        """Validate one model on all ranks, which is the one that is saved."""
        sync_buffers(runner)

    before_test = before_val

    # ------------------------------------------------------------------ saving
    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: dict
    ) -> None:
        """Save in turn, then remove what that makes superfluous."""
        sync_buffers(runner)
        steps = sorted({*self._steps, step})
        outdated = self._keep.outdated(steps) if self._keep else []
        steps = [i for i in steps if i not in outdated]
        info = {'keep_ckpt_ids': steps} if self._keep else {}
        if self._save(runner, self._name(step), meta, info):
            self._steps = steps
            old = [self._name(i) for i in outdated]
            if self._out_of_turn not in ('', self._name(step)):
                old.append(self._out_of_turn)
            self._out_of_turn = ''
            self._remove(runner, old)

    def save_now(self, runner: Runner) -> str:
        """Save after a training iteration, whether or not it is time to.

        The next checkpoint that is saved in turn removes this one.

        Args:
            runner (Runner): In ``after_train_iter``, on all ranks.

        Returns:
            str: '', or on rank 0 why it could not be saved.
        """
        step = runner.iter + 1
        if self.saved_iter == step:
            return ''
        name, old = f'iter_{step}.pth', self._out_of_turn
        # An uninterrupted run would not make the buffers equal here.
        mark = dict(out_of_turn=True, buffers=gather_buffers(runner))
        meta = {'epoch': runner.epoch, 'iter': step, MARK: mark}
        if self._save(runner, name, meta, {}):
            self._out_of_turn = name
            self._remove(runner, [old] if old not in ('', name) else [])
        return str(self._not_saved or '')

    def _save(
        self, runner: Runner, name: str, meta: dict, info: dict, full=True
    ) -> bool:
        """Write one checkpoint; if it cannot be, it never happened.

        Args:
            runner (Runner): The runner.
            name (str): Name of the file.
            meta (dict): Epoch and iteration.
            info (dict): What to note in the message hub with it.
            full (bool): Whether it is one to resume from. Defaults to True.

        Returns:
            bool: Whether it was written; always True on other ranks.
        """
        where = non_finite(runner.model)
        if where:
            what = f'{where} has values that are not finite'
            self._not_saved = FloatingPointError(what)
            self._warn(runner, f'{name} is not written: {what}')
            return False
        hub, last, path = runner.message_hub, self.last_ckpt, self._path(name)
        before = dict(hub.runtime_info)
        if full:
            self.last_ckpt = path
            info = {**info, 'last_ckpt': path}
        for key, value in info.items():
            hub.update_info(key, value)
        self._not_saved = None
        try:
            runner.save_checkpoint(
                self.out_dir,
                name,
                self.file_client_args,
                save_optimizer=self.save_optimizer and full,
                save_param_scheduler=self.save_param_scheduler and full,
                meta=meta,
                by_epoch=self.by_epoch and full,
                backend_args=self.backend_args,
                **(self.args if full else {}),
            )
            if full and is_main_process():
                last_file = osp.join(runner.work_dir, 'last_checkpoint')
                write_atomically(last_file, str(path))
        except OSError as error:
            if not is_full(error):
                raise
            self._not_saved = OSError(
                f'no room for a checkpoint: {error}. {last or "nothing"} is '
                f'kept. {free_space(runner.work_dir)} are free there, or less '
                "under a quota. Keep fewer checkpoints (keep='newest:1')"
            )
            name = type(self).__name__
            runner.logger.error(f'{name}: {self._not_saved}.')
            self.last_ckpt = last
            hub.runtime_info.clear()
            hub.runtime_info.update(before)
            return False
        if full:
            self.saved_iter = meta['iter']
        return True

    def after_train(self, runner: Runner) -> None:
        """Publish; stop with an error if the end of the run is not saved."""
        if self._not_saved:
            raise type(self._not_saved)(
                f'the last checkpoint of the run is missing: {self._not_saved}'
            )
        super().after_train(runner)

    @master_only
    def _publish_model(self, runner: Runner, ckpt_path: str) -> None:
        if ckpt_path and self.file_backend.isfile(ckpt_path):
            super()._publish_model(runner, ckpt_path)

    # -------------------------------------------------------------------- best
    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save the best under mmengine's names; remove the old one last."""
        if not self.save_best:
            return
        if 'auto' in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
            if 'auto' in self._bests:  # of the run that is resumed
                self._bests = {self.key_indicators[0]: self._bests['auto']}
        missing = [key for key in self.key_indicators if key not in metrics]
        if missing:
            raise ValueError(
                f'save_best must be among {sorted(metrics)}, got {missing}'
            )
        step = runner.epoch if self.by_epoch else runner.iter
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        old = []
        for key in self.key_indicators:
            name = f'best_{slug(key)}_{self._name(step)}'
            if self._is_best(runner, key, metrics[key]):
                info = {
                    self._info('best_score', key): metrics[key],
                    self._info('best_ckpt', key): self._path(name),
                }
                if self._save(runner, name, meta, info, full=False):
                    score = f'{metrics[key]:0.4f} {key}'
                    runner.logger.info(f'Best checkpoint ({score}): {name}')
                    old.append(self._bests.get(key, ''))
                    self._set_best(key, name)
        if old and self.last_ckpt is not None:
            self._save_checkpoint_with_step(runner, step, meta)
        current = {'', *self._bests.values()}
        self._remove(runner, [name for name in old if name not in current])

    def _is_best(self, runner: Runner, key: str, score: Any) -> bool:
        if not is_score(score):
            self._warn(runner, f'{key} is {score}, which is not the best')
            return False
        info = runner.message_hub.runtime_info
        best = info.get(self._info('best_score', key))
        return best is None or bool(self.is_better_than[key](score, best))

    def _info(self, name: str, key: str) -> str:
        """Mmengine's key in the message hub."""
        return name if len(self.key_indicators) == 1 else f'{name}_{key}'

    def _set_best(self, key: str, name: str) -> None:
        self._bests[key] = name
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = self._path(name)
        else:
            self.best_ckpt_path_dict[key] = self._path(name)

    # ------------------------------------------------------------------- parts
    def _name(self, step: int) -> str:
        return self.filename_tmpl.format(step)

    def _path(self, name: str) -> str:
        return self.file_backend.join_path(self.out_dir, name)

    @master_only
    def _remove(self, runner: Runner, names: List[str]) -> None:
        """Remove checkpoints of this run; folders and links stay."""
        for name in names:
            path = self._path(name)
            allowed = own_checkpoint(name, self.filename_tmpl) is not None
            allowed = allowed and not osp.islink(path)
            if allowed and self.file_backend.isfile(path):
                size = osp.getsize(path) if osp.isfile(path) else 0
                freed = readable_size(size)
                self.file_backend.remove(path)
                runner.logger.info(f'removed {path}: {freed} freed')

    def _warn(self, runner: Runner, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            runner.logger.warning(f'{type(self).__name__}: {message}.')


def slug(key: str) -> str:
    """A metric as it stands in names of files.

    Examples:
        >>> slug('accuracy/top1')
        'accuracy_top1'
    """
    return key.replace('/', '_')


def is_score(value: Any) -> bool:
    """Whether a value is one finite number.

    Examples:
        >>> is_score(0.5), is_score('0.5'), is_score(10**400)
        (True, False, False)
    """
    try:
        return math.isfinite(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return False
